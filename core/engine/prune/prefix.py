"""Skips the blocks before a changed one: what they give was recorded when the model was whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from core.engine.models.matrices import find_blocks
from core.engine.prune.block_calls import first_tensor
from core.engine.prune.stream import replaced_forwards


class Prefix:
    """The outputs of every block for every batch an evaluation gives the model.

    An evaluation that repeats the same batches while one block changes then runs only that block and
    those after it: half the time on average, and the same numbers to the bit. Batches are recognised by
    every tensor the model and its inner ones are called with, so the evaluation needs to know nothing of this.

    Args:
        limit: bytes to hold at most; batches beyond it are not recorded and run in full.
    """

    def __init__(self, model: nn.Module, limit: int = 2**31) -> None:
        self._blocks = find_blocks(model)
        first = next(name for name, module in model.named_modules() if module is self._blocks[0])
        parts = first.split(".")[:-1]
        self._around = [model.get_submodule(".".join(parts[:i])) for i in range(len(parts) + 1)]
        self._outputs: dict[bytes, list[Any]] = {}
        self._room = limit

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Evaluate the whole model inside: its blocks' outputs are kept."""
        current: list[Any] = []
        key: bytes | None = None

        def record(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal current, key
            if index == 0:
                current, key = [], called()
            out = forward(*args, **kwargs)
            current.append(out)
            hidden = first_tensor(out)
            self._room -= hidden.numel() * hidden.element_size()
            if index == len(self._blocks) - 1 and key is not None and self._room >= 0:
                self._outputs[key] = current
            return out

        with self._calls() as called, replaced_forwards(self._blocks, record):
            yield

    @contextmanager
    def skipping(self, layer: int) -> Iterator[None]:
        """Evaluate inside while only block `layer`, or blocks after it, differ from what was recorded."""
        known: list[Any] | None = None

        def skip(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal known
            if index == 0:
                known = self._outputs.get(called() or b"")
            return forward(*args, **kwargs) if known is None or index >= layer else known[index]

        with self._calls() as called, replaced_forwards(self._blocks, skip):
            yield

    @contextmanager
    def _calls(self) -> Iterator[Callable[[], bytes | None]]:
        """Inside, what tells the call that has just begun from others, once a call; None outside of one."""
        key: bytes | None = None

        def notice(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal key
            key = _key(key or b"", args, kwargs)

        def taken() -> bytes | None:
            nonlocal key
            found, key = key, None
            return found

        handles = [m.register_forward_pre_hook(notice, with_kwargs=True) for m in self._around]
        try:
            yield taken
        finally:
            for handle in handles:
                handle.remove()


def _key(outside: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    found = hashlib.sha256(outside)
    for name, value in [*enumerate(args), *sorted(kwargs.items())]:
        if isinstance(value, Tensor):
            plain = value.detach().cpu().reshape(-1).contiguous()
            found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            found.update(plain.view(torch.uint8).numpy().tobytes())
    return found.digest()
