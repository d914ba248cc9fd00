"""The text behind windows of tokens, so that a model with other tokens can be asked for the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_TORN = "\ufffd"
"""What stands for a part of a character: windows are cut between tokens, which may lie inside one."""


@dataclass(frozen=True)
class WindowText:
    """Attributes:
    given: the text of the first token where nothing stands before it; '' where a start token does.
    asked: the text that has to be predicted.
    """

    given: str
    asked: str

    @property
    def whole(self) -> str:
        return self.given + self.asked

    @property
    def bytes(self) -> int:
        """UTF-8 bytes that have to be predicted."""
        return len(self.asked.encode())


def window_texts(windows: torch.Tensor, tokenizer: Any, before: int) -> list[WindowText]:
    """Args:
    windows: `(n, window)` token ids of a model that predicts the next token.
    before: start tokens at the beginning of each.
    """
    found = []
    for row in windows.tolist():
        body = row[before:]
        given = _text(tokenizer, body[:1]) if not before else ""
        whole = _text(tokenizer, body)
        asked = whole.removeprefix(given) if whole.startswith(given) else _text(tokenizer, body[1:])
        found.append(WindowText(given.strip(_TORN), asked.strip(_TORN)))
    return found


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def placed_ids(text: WindowText, tokenizer: Any, before: tuple[int, ...]) -> tuple[list[int], int]:
    """A window's text in a tokenizer's own tokens, behind its start tokens, and the place of the first one asked for.

    A token that holds the end of what is given and the beginning of what is asked is asked for.
    """
    found = tokenizer(text.whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    given = sum(stop <= len(text.given) for _, stop in found["offset_mapping"])
    return [*before, *found["input_ids"]], max(1, len(before) + given)
