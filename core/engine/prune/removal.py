"""How much the loss changes when one layer, or one attention head, is taken out and everything else stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from core.base.progress import Reporter
from core.engine.models.architectures import Architecture
from core.engine.models.matrices import find_blocks
from core.engine.prune.prefix import Prefix
from core.engine.prune.sensitivity import Cell, Evaluate, Kept, cell_of


def removals(
    model: PreTrainedModel,
    evaluate: Evaluate,
    path: Path,
    reporter: Reporter,
    heads: Architecture | None = None,
    identity: dict[str, Any] | None = None,
) -> Iterator[Cell]:
    """Measures one skipped part after the other and yields each, those found in `path` included.

    A skipped layer hands its input on. A removed head gives zeros to the projection behind it, which is
    what cutting it out does. Nothing in the model changes. Song et al. 2024, SLEB; Michel et al. 2019,
    Are sixteen heads really better than one, section 2.3.

    Args:
        evaluate: the loss of each window, always the same ones.
        path: a JSON file that is rewritten after every part, so that an interrupted run goes on where it was.
        heads: the architecture whose query heads are measured as well; None leaves them out.
        identity: what the numbers depend on; a file with another identity is started afresh.

    Raises:
        RetortError: a loss is not finite.
    """
    blocks = find_blocks(model)
    kept = Kept.open(path, identity or {})
    todo: list[tuple[int, int | None]] = [(i, None) for i in range(len(blocks))]
    if heads is not None:
        todo += [(i, h) for i in range(len(blocks)) for h in range(heads.sizes["heads"])]
    prefix, baseline = Prefix(model), list[float]()
    for done, (layer, head) in enumerate(todo):
        part = None if head is None else f"head {head}"
        cell = kept.cells.get((layer, part, 1.0))
        if cell is None:
            reporter.checkpoint()
            reporter.progress(done, len(todo), f"Measuring without layer {layer}{f', {part}' if part else ''}.")
            if not baseline:
                with prefix.recording():
                    baseline = evaluate()
            hidden = without_layer(blocks, layer) if head is None else _without_head(blocks, heads, layer, head)
            with hidden, prefix.skipping(layer):
                losses = evaluate()
            owned = _parameters(blocks[layer], heads, head)
            cell = cell_of(layer, part, 1.0, losses, baseline, owned)
            kept.add(cell)
        yield cell
    reporter.progress(len(todo), len(todo), "Removed parts measured.")


@contextmanager
def without_layer(blocks: Sequence[nn.Module], layer: int) -> Iterator[None]:
    """The block hands its input on inside; what it returns keeps its type."""
    block = blocks[layer]
    own, before = block.__dict__.get("forward"), block.forward

    def passing(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        out = before(*args, **kwargs)  # computed for its type only: some blocks return more than hidden states
        return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

    block.forward = passing
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own


@contextmanager
def _without_head(
    blocks: Sequence[nn.Module], architecture: Architecture | None, layer: int, head: int
) -> Iterator[None]:
    assert architecture is not None
    assert architecture.family.head_site is not None
    rows = slice(head * architecture.head_dim, (head + 1) * architecture.head_dim)

    def mask(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        masked = args[0].clone()  # (..., heads * head_dim)
        masked[..., rows] = 0
        return (masked, *args[1:])

    handle = blocks[layer].get_submodule(architecture.family.head_site).register_forward_pre_hook(mask)
    try:
        yield
    finally:
        handle.remove()


def _parameters(block: nn.Module, architecture: Architecture | None, head: int | None) -> int:
    """Parameters of a block, or the share of its output projection's inputs that belongs to one head."""
    if head is None or architecture is None or architecture.family.head_site is None:
        return sum(p.numel() for p in block.parameters())
    weight = block.get_submodule(architecture.family.head_site).weight
    assert isinstance(weight, torch.Tensor)
    return weight.numel() // architecture.sizes["heads"]
