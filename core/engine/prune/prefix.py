"""Skips the blocks before a changed one: what they give was recorded when the model was whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
    what goes into the first block, so the evaluation needs to know nothing of this. Of an encoder and a
    decoder nothing is recorded: the source alone, which goes in first, does not tell two batches apart.

    Args:
        limit: bytes to hold at most; batches beyond it are not recorded and run in full.
    """

    def __init__(self, model: nn.Module, limit: int = 2**31) -> None:
        self._blocks = find_blocks(model)
        self._outputs: dict[bytes, list[Any]] = {}
        self._room = -1 if getattr(getattr(model, "config", None), "is_encoder_decoder", False) else limit

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Evaluate the whole model inside: its blocks' outputs are kept."""
        current: list[Any] = []
        key = b""

        def record(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal current, key
            if index == 0:
                current, key = [], _key(args, kwargs)
            out = forward(*args, **kwargs)
            current.append(out)
            hidden = first_tensor(out)
            self._room -= hidden.numel() * hidden.element_size()
            if index == len(self._blocks) - 1 and self._room >= 0:
                self._outputs[key] = current
            return out

        with replaced_forwards(self._blocks, record):
            yield

    @contextmanager
    def skipping(self, layer: int) -> Iterator[None]:
        """Evaluate inside while only block `layer`, or blocks after it, differ from what was recorded."""
        known: list[Any] | None = None

        def skip(index: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal known
            if index == 0:
                known = self._outputs.get(_key(args, kwargs))
            return forward(*args, **kwargs) if known is None or index >= layer else known[index]

        with replaced_forwards(self._blocks, skip):
            yield


def _key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    hidden: Tensor = args[0] if args else kwargs["hidden_states"]
    plain = hidden.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(plain.tobytes()).digest()
