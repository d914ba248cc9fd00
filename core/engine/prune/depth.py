"""Which layers to remove: each method orders the removable layers, the first to go first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.engine.models.architectures import Architecture
from core.engine.prune.gradients import refuse_unless_causal, taylor_sums
from core.engine.prune.observers import Handle
from core.engine.prune.statistics import Statistics
from core.registry.methods import METHODS


@dataclass
class DepthContext:
    """What a depth method may look at.

    Attributes:
        count: layers that will be removed; methods that search stop there.
        removable: indices of the layers that are not protected, ascending.
        statistics: of the dense model; it holds what the method says it needs.
        windows: (sequences, length) calibration tokens, None where there are none.
    """

    model: PreTrainedModel
    architecture: Architecture
    statistics: Statistics | None
    windows: Tensor | None
    count: int
    removable: tuple[int, ...]
    reporter: Reporter
    notes: list[str]


class LastHidden:
    """The hidden state of each window's last token, before ('in') and after ('out') every block."""

    key = "last_hidden"

    def __init__(self) -> None:
        self._in: list[Tensor] = []
        self._out: list[Tensor] = []

    def attach(self, block: nn.Module, index: int) -> list[Handle]:
        self._in, self._out = [], []
        return []

    def see(self, hidden_in: Tensor, hidden_out: Tensor) -> None:
        self._in.append(hidden_in[:, -1].float().clone())  # (batch, hidden)
        self._out.append(hidden_out[:, -1].float().clone())

    def finish(self) -> dict[str, Tensor]:
        return {"in": torch.cat(self._in), "out": torch.cat(self._out)}


def block_influence(context: DepthContext) -> list[int]:
    """Lowest block influence first: 1 - mean over tokens of cos(h_in, h_out). Men et al. 2024, ShortGPT, eq. 1."""
    assert context.statistics is not None
    return _ascending(context.statistics.block_influence, context.removable)


def angular(context: DepthContext) -> list[int]:
    """The contiguous run of `count` layers over which the last token's hidden state turns least, then the others.

    Gromov et al. 2024, The unreasonable ineffectiveness of the deeper layers, eq. 7:
    d(l, n) = mean over sequences of arccos(cos(h_l, h_{l+n})) / pi.

    Raises:
        RetortError: the protected layers leave no run that long.
    """
    assert context.statistics is not None
    blocks = context.statistics.units(LastHidden.key)
    free, n = set(context.removable), context.count
    starts = [s for s in range(len(blocks) - n + 1) if all(i in free for i in range(s, s + n))]
    if not starts:
        raise Impossible(
            f"This method removes {n} layers in a row, and the protected layers leave no such row.",
            "Protect other layers, remove fewer, or choose block influence.",
        )
    start = min(starts, key=lambda s: angular_distance(blocks[s]["in"], blocks[s + n - 1]["out"]))
    run = list(range(start, start + n))
    return run + [i for i in context.removable if i not in run]


def angular_distance(a: Tensor, b: Tensor) -> float:
    """Mean over rows of the angle between rows of `a` and `b` (sequences, hidden), in units of pi: 0 to 1."""
    cosine = nn.functional.cosine_similarity(a.double(), b.double(), dim=-1).clamp(-1, 1)
    return float(cosine.arccos().mean() / math.pi)


def taylor(context: DepthContext) -> list[int]:
    """Lowest sum of |w * dL/dw| over the block's weights first; L is the mean loss. Molchanov et al. 2019."""
    sums = taylor_sums(context.model, context.architecture, context.windows, context.statistics, context.reporter)
    return _ascending(sums["blocks"], context.removable)


def loss_ablation(context: DepthContext) -> list[int]:
    """Greedy: the layer whose absence gives the lowest calibration loss goes, then all others are measured again.

    Song et al. 2024, SLEB, algorithm 1. A layer is skipped by passing its input through; the layers before the
    skipped one are not computed again.
    """
    if context.windows is None:
        raise RetortError("Removing layers by their effect on the loss needs calibration text.", "Choose a text.")
    refuse_unless_causal(context.model, "Removing layers by their effect on the loss")
    windows = context.windows[: METHODS["loss_ablation"].search_windows].to(context.model.device)
    if len(windows) < len(context.windows):
        context.notes.append(f"The loss without each layer was measured on {len(windows)} calibration windows.")
    blocks = context.architecture.blocks(context.model)
    lengths = _returned(context.model, blocks, windows[:1, :2])
    gone: list[int] = []
    total = sum(len(context.removable) - i for i in range(context.count))
    done = 0
    for _ in range(context.count):
        left = [i for i in context.removable if i not in gone]
        losses = dict.fromkeys(left, 0.0)
        for window in windows.split(_SLEB_BATCH):
            inputs = _block_inputs(context.model, blocks, window, gone, lengths)
            for candidate in left:
                with _skipped(blocks, {*gone, candidate}, inputs, candidate, lengths):
                    losses[candidate] += mean_loss(context.model, window) * len(window) / len(windows)
                context.reporter.checkpoint()
                done += 1
                share = done * _SLEB_BATCH / len(windows)
                context.reporter.progress(min(share, total), total, "Measuring the loss without each layer.")
        gone.append(min(left, key=lambda i: losses[i]))
    return gone + [i for i in context.removable if i not in gone]


_SLEB_BATCH = 2


def mean_loss(model: PreTrainedModel, window: Tensor) -> float:
    """Mean negative log-likelihood of each next token, in nats, over (batch, length) tokens."""
    with torch.inference_mode():
        logits = model(window, use_cache=False).logits[:, :-1].float()  # (batch, length - 1, vocabulary)
        return float(nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten()))


def _ascending(values: Tensor, removable: tuple[int, ...]) -> list[int]:
    return sorted(removable, key=lambda i: (float(values[i]), i))


def _returned(model: PreTrainedModel, blocks: Sequence[nn.Module], window: Tensor) -> list[int]:
    """For each block, the length of the tuple it returns, or 0 where it returns a tensor."""
    found: list[int] = []

    def watch(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        found.append(len(out) if isinstance(out, tuple) else 0)

    handles = [block.register_forward_hook(watch) for block in blocks]
    try:
        with torch.inference_mode():
            model.base_model(window, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _block_inputs(
    model: PreTrainedModel, blocks: Sequence[nn.Module], window: Tensor, gone: list[int], lengths: list[int]
) -> list[Tensor]:
    """What goes into each block, (batch, length, hidden), while the blocks in `gone` are skipped."""
    inputs: list[Tensor] = []

    def watch(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.append(args[0] if args else kwargs["hidden_states"])

    handles = [block.register_forward_pre_hook(watch, with_kwargs=True) for block in blocks]
    try:
        with _skipped(blocks, set(gone), [], 0, lengths), torch.inference_mode():
            base = model.base_model
            base(window, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return inputs


@contextmanager
def _skipped(
    blocks: Sequence[nn.Module], skip: set[int], inputs: list[Tensor], resume: int, lengths: list[int]
) -> Iterator[None]:
    """Blocks in `skip` pass their input through. With `inputs`, block `resume` (which is skipped) gives its
    known input instead, and the blocks before it are not computed. Each returns what it always does (`_returned`)."""

    def shaped(hidden: Tensor, index: int) -> Any:
        return (hidden, *[None] * (lengths[index] - 1)) if lengths[index] else hidden

    replaced = [i for i in range(len(blocks)) if i in skip or (inputs and i < resume)]
    try:
        for i in replaced:

            def passing(hidden_states: Tensor, *args: Any, _i: int = i, **kwargs: Any) -> Any:
                return shaped(inputs[resume] if inputs and _i == resume else hidden_states, _i)

            blocks[i].forward = passing
        yield
    finally:
        for i in replaced:
            del blocks[i].forward
