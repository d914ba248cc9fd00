"""Byte-pair encoding: a token is made by merging two others, so the parents of a wanted token are wanted too.

A word is cut by merging, again and again, the neighbours whose merge stands first in the list. Inside the span of one
token of the result this goes exactly as if the token stood alone. So with every token that its own merging passes
through, and the merges between tokens that stay, a word of wanted tokens is cut as before (Sennrich et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from core.base.errors import Impossible

Ranks = Mapping[tuple[str, str], int]


def needed(model: Mapping[str, Any], wanted: Set[str]) -> set[str]:
    """`wanted`, what merging them passes through, and what any text can be written in.

    Raises:
        Impossible: tokens inside a word carry a prefix, which no known model has.
    """
    if model.get("continuing_subword_prefix"):
        raise Impossible(
            "The vocabulary of a BPE tokenizer with a prefix inside words cannot be trimmed.",
            "Choose a model with another tokenizer.",
        )
    suffix = model.get("end_of_word_suffix") or ""
    vocabulary, ranks = model["vocab"], ranks_of(model["merges"])
    found = {t for t in vocabulary if t in wanted} | _alphabet(model, suffix)
    for token in list(found):
        found |= {t for t in passed_through(token, ranks, suffix) if t in vocabulary}
    return found


def kept_merges(merges: Sequence[Any], kept: Set[str]) -> list[Any]:
    """The merges, in their order and as they were written, between tokens that stay."""
    return [m for m in merges if {(pair := pair_of(m))[0], pair[1], pair[0] + pair[1]} <= kept]


def pair_of(merge: Any) -> tuple[str, str]:
    """The two tokens of a merge: older files write them as one text."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return str(first), str(second)


def ranks_of(merges: Sequence[Any]) -> dict[tuple[str, str], int]:
    """The place of each merge in the list."""
    return {pair_of(m): rank for rank, m in enumerate(merges)}


def passed_through(token: str, ranks: Ranks, suffix: str = "") -> set[str]:
    """Every token that merging the characters of `token` makes on the way, its characters included."""
    parts = list(token.removesuffix(suffix)) if suffix else list(token)
    if suffix and token.endswith(suffix) and parts:
        parts[-1] += suffix
    found = set(parts)
    while len(parts) > 1:
        pairs = list(zip(parts, parts[1:], strict=False))
        rank, at = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairs))
        if rank == len(ranks):
            break
        first, second = pairs[at]
        parts[at : at + 2] = [first + second]
        found.add(first + second)
    return found


def _alphabet(model: Mapping[str, Any], suffix: str) -> set[str]:
    """What any text can be written in: the bytes where there are tokens for them, else every single character."""
    vocabulary = model["vocab"]
    bytes_of = {f"<0x{i:02X}>" for i in range(256)}
    if model.get("byte_fallback") and bytes_of <= set(vocabulary):
        return bytes_of
    unknown = model.get("unk_token")
    return {t for t in vocabulary if len(t.removesuffix(suffix) if suffix else t) == 1 or t == unknown}
