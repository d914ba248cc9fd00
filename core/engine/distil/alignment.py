"""Where two tokenizations of one text can be compared: at the ends of tokens that both have.

A tokenizer says of each token which characters it stands for. Behind the same characters both models have read the same
text, however each cut it, so what they expect there can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from core.base.errors import Impossible

UNREADABLE = "\ufffd"
"""What decoding writes for a character of which only a part is there."""


class Cut(NamedTuple):
    """A text as one tokenizer cuts it: token ids, and of each the characters `(start, end)` it stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def cut(tokenizer: Any, text: str) -> Cut:
    """The text in tokens, without anything around it."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return Cut(found["input_ids"], [(int(a), int(b)) for a, b in found["offset_mapping"]])


def refuse_without_offsets(tokenizer: Any, who: str) -> None:
    """Raises Impossible where a tokenizer cannot say which characters its tokens stand for."""
    if not getattr(tokenizer, "is_fast", False):
        raise Impossible(
            f"The {who}'s tokenizer does not say which characters a token stands for, so its tokens cannot be matched "
            "with those of another tokenizer.",
            "Choose a model that comes with a tokenizer.json, or let the student learn the teacher's texts instead "
            "('teacher_texts' with the loss cross_entropy).",
        )


def ends(offsets: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Characters read so far to the last token that ends there.

    A character may be spread over several tokens, all of which name the whole of it: only the last ends it.
    """
    found: dict[int, int] = {}
    for i, (_, end) in enumerate(offsets):
        following = offsets[i + 1][0] if i + 1 < len(offsets) else end
        if following >= end:
            found[end] = i
    return found


def common_ends(student: Sequence[tuple[int, int]], teacher: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs (student's token, teacher's token) that end behind the same character, both rising."""
    theirs = ends(teacher)
    return [(i, theirs[at]) for at, i in ends(student).items() if at > 0 and at in theirs]


def same_tokens(given: Sequence[int], found: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (place in `given`, place in `found`) of the tokens both sequences share, in order."""
    if list(given) == list(found):
        return [(i, i) for i in range(len(given))]
    blocks = SequenceMatcher(None, list(given), list(found), autojunk=False).get_matching_blocks()
    return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
