"""Plain text as full windows of tokens, all at once or read as it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.engine.data.framing import Frame, special_frame
from core.engine.data.windows import SEPARATOR
from core.engine.distil.batches import Batch, causal_batch


def pack(texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> Iterator[Tensor]:
    """Full windows `(length,)` of the texts, one after the other with a blank line between, as in evaluation.

    Each window is put into `frame`; None: between the tokenizer's own special tokens, where it has any. Reads a text
    only when its tokens are needed, so a stream never has to fit in memory. What is left over at the end and
    fills no window is dropped.
    """
    before, after = special_frame(tokenizer) if frame is None else frame
    body = length - len(before) - len(after)
    waiting: list[int] = []
    for text in texts:
        waiting += tokenizer(text + SEPARATOR, add_special_tokens=False, verbose=False)["input_ids"]
        while len(waiting) >= body:
            yield torch.tensor([*before, *waiting[:body], *after])
            del waiting[:body]


def packed(texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> Tensor:
    """All windows of `pack`, `(windows, length)`.

    Raises:
        RetortError: the texts do not fill a single window.
    """
    windows = list(pack(texts, tokenizer, length, frame))
    if not windows:
        raise RetortError(
            f"The training text has fewer than {length} tokens, so it fills no window.",
            "Choose a longer text or split, or shorter windows.",
        )
    return torch.stack(windows)


class Stream:
    """Packed windows of a text that is read as it is needed. Sequences can only be asked for in rising order."""

    count = None

    def __init__(self, texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> None:
        self._windows = enumerate(pack(texts, tokenizer, length, frame))

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        """Reads on up to the asked windows (skipping what a resumed run has already learned from).

        Raises:
            RetortError: the text ends before.
        """
        rows = [self._advance(i) for i in indices]
        ids = torch.stack(rows)
        everything = torch.ones_like(ids, dtype=torch.bool)
        return causal_batch(ids, everything, everything, torch.tensor(indices))

    def _advance(self, wanted: int) -> Tensor:
        for number, window in self._windows:
            if number == wanted:
                return window
        raise RetortError(
            "The streamed text ended before the training did.",
            "Train for fewer steps, choose a longer text, or turn streaming off so that it is read again.",
        )
