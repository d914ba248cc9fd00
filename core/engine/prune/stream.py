"""Runs a model's blocks one at a time over all windows, without re-implementing its forward.

The model itself is called once a batch with its blocks replaced by pass-throughs: that yields the
first hidden states and the arguments the model gives each block (masks, position embeddings; they
differ between blocks where attention windows do). Afterwards each block is called with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.matrices import find_stacks, text_config
from core.engine.models.source_target import batches_of
from core.engine.prune.block_calls import Call, first_tensor, same_values, shared, split
from core.engine.prune.observers import Observer

_PROBE_TOKENS = 16


class _Stop(Exception):
    """The last block was reached: the head is not needed."""


@dataclass
class _Seen:
    """One forward of the model, seen from its blocks."""

    order: list[int] = field(default_factory=list)  # which block each call was of
    calls: list[Call] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)  # what went into each call
    outputs: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class _Passing:
    """What a stack's blocks return while they hand their input on.

    Attributes:
        shapes: for each call of a block, the length of the tuple it returns, or 0 where it returns a tensor.
        computed: what stands behind the hidden states in the tuple is computed (the first block of T5 gives the
            others their positions there); otherwise it is None.
    """

    shapes: tuple[int, ...]
    computed: bool = False


class BlockStream:
    """The hidden states of all windows, moved through the blocks one block at a time.

    Args:
        model: any transformers model whose blocks follow each other directly; a block may be called several times
            in a row (ALBERT), and is watched at each. Of an encoder-decoder the decoder's blocks follow the encoder's:
            they are entered once the encoder's last block has been passed, and read what the encoder gives then.
        windows: token ids `(sequences, length)`, no padding.
        batch: sequences that go through a block at once.

    Raises:
        RetortError: the model does something between its blocks, or makes a block's arguments from
            its hidden states, so that running block by block would not equal its forward.
    """

    def __init__(self, model: PreTrainedModel, windows: Tensor, batch: int = 4) -> None:
        self.model = model
        self._stacks = [stack for _, stack in find_stacks(model)]
        self.prefix = find_stacks(model)[0][0]
        self.blocks = [block for stack in self._stacks for block in stack]
        self.sequences, self.length = int(windows.shape[0]), int(windows.shape[1])
        self._batches = batches_of(model, windows, batch)
        self.hidden: list[Tensor] = []  # one (batch, length, hidden) a batch, in the compute dtype
        self._calls: list[list[list[Call]]] = [[] for _ in self._batches]  # by batch, by block, in order
        self._enter_stack(self._stacks[0])

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
        if keep and len(self._stacks) > 1 and index == len(self._stacks[0]) - 1:
            self._enter_stack(self._stacks[1])

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

    def _enter_stack(self, stack: nn.ModuleList) -> None:
        """All windows come to the first block of a stack."""
        self.hidden = []
        with _inference(self.model):
            few = {name: value[:1, :_PROBE_TOKENS] for name, value in self._batches[0].items()}
            passing = self._probe(few, stack)
            for number, inputs in enumerate(self._batches):
                self._enter(number, inputs, stack, passing)

    def _probe(self, inputs: Mapping[str, Tensor], stack: nn.ModuleList) -> _Passing:
        """Checks on a few tokens that blocks can be run one by one; what they return then."""
        true = self._forward(inputs, stack)
        if sorted(true.order) != true.order or set(true.order) != set(range(len(stack))):
            self._refuse("calls its layers in another number or order than it lists them")
        for i, output in enumerate(true.outputs):
            self._refuse_nan(first_tensor(output), true.order[i])
        for i in range(1, len(true.calls)):
            if not torch.equal(true.hidden[i], first_tensor(true.outputs[i - 1])):
                self._refuse(f"changes the hidden states between layers {i - 1} and {i}")
        shapes = tuple(len(out) if isinstance(out, tuple) else 0 for out in true.outputs)
        for passing in (_Passing(shapes), _Passing(shapes, computed=True)):
            passed = self._forward(inputs, stack, passing)
            same = [
                same_values(a.args, b.args) and same_values(a.kwargs, b.kwargs)
                for a, b in zip(true.calls, passed.calls, strict=True)
            ]
            if all(same):
                return passing
        self._refuse(f"computes what it gives layer {same.index(False)} from the layers before it")

    def _refuse(self, what: str) -> NoReturn:
        raise RetortError(
            f"This model {what}, so it cannot be calibrated layer by layer.",
            "Use a method that needs no calibration, such as magnitude, or another model.",
        )

    def _enter(self, number: int, inputs: Mapping[str, Tensor], stack: nn.ModuleList, passing: _Passing) -> None:
        seen = self._forward(inputs, stack, passing)
        before = [call for calls in self._calls[number - 1][-len(stack) :] for call in calls] if number else None
        for i, call in enumerate(seen.calls):
            # masks and positions are the same for every full batch, and mostly for every block: hold them once
            for other in (before[i] if before else None, seen.calls[i - 1] if i else None):
                if other is not None:
                    call.args = tuple(shared(a, b) for a, b in zip_longest(call.args, other.args))[: len(call.args)]
                    call.kwargs = {k: shared(v, other.kwargs.get(k)) for k, v in call.kwargs.items()}
        by_block: list[list[Call]] = [[] for _ in stack]
        for index, call in zip(seen.order, seen.calls, strict=True):
            by_block[index].append(call)
        self._calls[number] += by_block
        self.hidden.append(seen.hidden[0])

    def _forward(self, inputs: Mapping[str, Tensor], stack: nn.ModuleList, passing: _Passing | None = None) -> _Seen:
        """One whole forward; with `passing` the stack's blocks hand their input on, and the head is not reached."""
        seen = _Seen()

        def before(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            call, hidden = split(args, kwargs)
            at = len(seen.calls)
            seen.order.append(index)
            seen.calls.append(call)
            seen.hidden.append(hidden)
            if passing is None:
                seen.outputs.append(forward(*args, **kwargs))
            elif not passing.shapes[at]:
                seen.outputs.append(hidden)
            elif passing.computed:
                seen.outputs.append((hidden, *forward(*args, **kwargs)[1:]))
            else:
                seen.outputs.append((hidden, *[None] * (passing.shapes[at] - 1)))
            if passing is not None and len(seen.outputs) == len(passing.shapes):
                raise _Stop
            return seen.outputs[-1]

        with replaced_forwards(stack, before), suppress(_Stop):
            self.model(**inputs)
        return seen


@contextmanager
def replaced_forwards(blocks: Iterable[nn.Module], function: Any) -> Iterator[None]:
    """Each block's forward becomes `function(index, its forward, ...)`."""
    blocks = list(blocks)
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
