"""Runs a model's blocks one at a time over all windows, without re-implementing its forward.

The model itself is called once a batch with its blocks replaced by pass-throughs: that yields the
first hidden states and the arguments the model gives each block (masks, position embeddings; they
differ between blocks where attention windows do). Afterwards each block is called with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.matrices import find_blocks, text_config
from core.engine.prune.observers import Observer

_PROBE_TOKENS = 16


class _Stop(Exception):
    """The last block was reached: the head is not needed."""


@dataclass
class _Call:
    """What a block is called with besides its hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str | None  # the keyword the hidden states go under, or None for the first positional argument

    def run(self, block: nn.Module, hidden: Tensor) -> Tensor:
        if self.key is not None:
            return first_tensor(block(*self.args, **{**self.kwargs, self.key: hidden}))
        return first_tensor(block(hidden, *self.args, **self.kwargs))


@dataclass
class _Seen:
    """One forward of the model, seen from its blocks."""

    order: list[int] = field(default_factory=list)  # which block each call was of
    calls: list[_Call] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)  # what went into each call
    outputs: list[Any] = field(default_factory=list)


class BlockStream:
    """The hidden states of all windows, moved through the blocks one block at a time.

    Args:
        model: any transformers model whose blocks follow each other directly; a block may be called several times
            in a row (ALBERT), and is watched at each.
        windows: token ids `(sequences, length)`, no padding.
        batch: sequences that go through a block at once.

    Raises:
        RetortError: the model does something between its blocks, or makes a block's arguments from
            its hidden states, so that running block by block would not equal its forward.
    """

    def __init__(self, model: nn.Module, windows: Tensor, batch: int = 4) -> None:
        self.model = model
        self.prefix, self.blocks = find_blocks(model)
        self.sequences, self.length = int(windows.shape[0]), int(windows.shape[1])
        device = next(model.parameters()).device
        self._batches = [part.to(device) for part in windows.split(batch)]
        self.hidden: list[Tensor] = []  # one (batch, length, hidden) a batch, in the compute dtype
        self._calls: list[list[list[_Call]]] = []  # by batch, by block, in order
        with _inference(model):
            shapes = self._probe(self._batches[0][:1, :_PROBE_TOKENS])
            for ids in self._batches:
                self._enter(ids, shapes)

    @property
    def tokens(self) -> int:
        return self.sequences * self.length

    def advance(
        self, index: int, observers: Sequence[Observer] = (), reporter: Reporter | None = None, keep: bool = True
    ) -> None:
        """All windows go through block `index`, watched by `observers`.

        Args:
            keep: the outputs become the inputs of the next block. False only watches: the block is
                to be run again once it has been changed.

        Raises:
            RetortError: the block's output is not finite.
        """
        block = self.blocks[index]
        handles = [handle for observer in observers for handle in observer.attach(block, index)]
        try:
            with _inference(self.model):
                for b, hidden in enumerate(self.hidden):
                    out = hidden
                    for call in self._calls[b][index]:
                        into, out = out, call.run(block, out)
                        self._refuse_nan(out, index)
                        for observer in observers:
                            observer.see(into, out)
                    if keep:
                        self.hidden[b] = out
                    if reporter is not None:
                        reporter.checkpoint()
        finally:
            for handle in handles:
                handle.remove()

    def watch(self, index: int, hidden: Sequence[Tensor], observers: Sequence[Observer]) -> None:
        """Block `index` reads other hidden states, (batch, length, hidden) a batch; nothing moves on."""
        own, self.hidden = self.hidden, list(hidden)
        try:
            self.advance(index, observers, keep=False)
        finally:
            self.hidden = own

    def once(self, index: int) -> Tensor:
        """What block `index` gives for the first batch, (batch, length, hidden); nothing moves on."""
        with _inference(self.model):
            out = self.hidden[0]
            for call in self._calls[0][index]:
                out = call.run(self.blocks[index], out)
            return out

    @property
    def repeats(self) -> bool:
        """Whether a block is called several times in a row."""
        return any(len(calls) > 1 for calls in self._calls[0])

    def _refuse_nan(self, hidden: Tensor, index: int) -> None:
        if not bool(torch.isfinite(hidden).all()):
            raise RetortError(
                f"Layer {index} of the model ({self.prefix}.{index}) gives values that are not finite numbers.",
                "Run again with dtype float32, or check the model file.",
            )

    def _probe(self, ids: Tensor) -> list[int]:
        """Checks on a few tokens that blocks can be run one by one.

        Returns:
            For each call of a block, the length of the tuple it returns, or 0 where it returns a tensor.
        """
        true = self._forward(ids, shapes=None)
        if sorted(true.order) != true.order or set(true.order) != set(range(len(self.blocks))):
            self._refuse("calls its layers in another number or order than it lists them")
        for i, output in enumerate(true.outputs):
            self._refuse_nan(first_tensor(output), true.order[i])
        for i in range(1, len(true.calls)):
            if not torch.equal(true.hidden[i], first_tensor(true.outputs[i - 1])):
                self._refuse(f"changes the hidden states between layers {i - 1} and {i}")
        shapes = [len(out) if isinstance(out, tuple) else 0 for out in true.outputs]
        passed = self._forward(ids, shapes)
        for i, (a, b) in enumerate(zip(true.calls, passed.calls, strict=True)):
            if not (_same(a.args, b.args) and _same(a.kwargs, b.kwargs)):
                self._refuse(f"computes what it gives layer {i} from the layers before it")
        return shapes

    def _refuse(self, what: str) -> None:
        raise RetortError(
            f"This model {what}, so it cannot be calibrated layer by layer.",
            "Use a method that needs no calibration, such as magnitude, or another model.",
        )

    def _enter(self, ids: Tensor, shapes: list[int]) -> None:
        seen = self._forward(ids, shapes)
        before = [call for calls in self._calls[-1] for call in calls] if self._calls else None
        for i, call in enumerate(seen.calls):
            # masks and positions are the same for every full batch, and mostly for every block: hold them once
            for other in (before[i] if before else None, seen.calls[i - 1] if i else None):
                if other is not None:
                    call.args = tuple(_shared(a, b) for a, b in zip_longest(call.args, other.args))[: len(call.args)]
                    call.kwargs = {k: _shared(v, other.kwargs.get(k)) for k, v in call.kwargs.items()}
        by_block: list[list[_Call]] = [[] for _ in self.blocks]
        for index, call in zip(seen.order, seen.calls, strict=True):
            by_block[index].append(call)
        self._calls.append(by_block)
        self.hidden.append(seen.hidden[0])

    def _forward(self, ids: Tensor, shapes: list[int] | None) -> _Seen:
        """One whole forward; with `shapes` the blocks pass their input through, and the head is not reached."""
        seen = _Seen()

        def before(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            call, hidden = _split(args, kwargs)
            at = len(seen.calls)
            seen.order.append(index)
            seen.calls.append(call)
            seen.hidden.append(hidden)
            if shapes is None:
                seen.outputs.append(forward(*args, **kwargs))
            else:
                seen.outputs.append((hidden, *[None] * (shapes[at] - 1)) if shapes[at] else hidden)
            if shapes is not None and len(seen.outputs) == len(shapes):
                raise _Stop
            return seen.outputs[-1]

        with replaced_forwards(self.blocks, before), suppress(_Stop):
            self.model(input_ids=ids)
        return seen


@contextmanager
def replaced_forwards(blocks: nn.ModuleList, function: Any) -> Iterator[None]:
    """Each block's forward becomes `function(index, its forward, ...)`."""
    own = [block.__dict__.get("forward") for block in blocks]
    for i, block in enumerate(blocks):

        def replaced(*args: Any, _i: int = i, _forward: Any = block.forward, **kwargs: Any) -> Any:
            return function(_i, _forward, *args, **kwargs)

        block.forward = replaced
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


@contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    """No gradients, no dropout, no key-value cache; what was set before is set again afterwards."""
    training, config = model.training, text_config(model)
    cache = getattr(config, "use_cache", None)
    model.eval()
    if cache is not None:
        config.use_cache = False
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        if cache is not None:
            config.use_cache = cache


def _split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Call, Tensor]:
    """The call without its hidden states, and the hidden states."""
    kwargs = {k: None if isinstance(v, Cache) else v for k, v in kwargs.items()}
    if args:
        return _Call(args[1:], kwargs, None), args[0]
    hidden = kwargs.pop("hidden_states", None)
    if not isinstance(hidden, Tensor):
        raise RetortError(
            "The layers of this model do not take hidden states as their first argument.",
            "Use a method that needs no calibration, such as magnitude, or another model.",
        )
    return _Call((), kwargs, "hidden_states"), hidden


def first_tensor(output: Any) -> Tensor:
    """The hidden states in what a block returns."""
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def _same(a: Any, b: Any) -> bool:
    """Equal in value, tensors included."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or (a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a is b or (type(a) is type(b) and bool(a == b))


def _shared(new: Any, old: Any) -> Any:
    """`old` where both are equal, so that the copy can be freed."""
    return old if _same(new, old) else new
