"""WordPiece and Unigram: a word is cut into pieces of a list, the longest first or the likeliest together.

Taking pieces away that a cut does not use leaves it the longest, or the likeliest, among those that are left. What has
to stay are the characters, in which everything else can be written; a piece that cannot be written in them stays too.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any


def of_wordpiece(model: Mapping[str, Any], wanted: Set[str]) -> set[str]:
    """`wanted`, every character at the start of a word and inside it, and what cannot be spelled in those.

    Source: Schuster and Nakajima 2012; the longest piece that fits is taken, from left to right.
    """
    prefix, vocabulary = model.get("continuing_subword_prefix", "##"), model["vocab"]

    def spelling(token: str) -> list[str]:
        inside = token.startswith(prefix) and len(token) > len(prefix)
        characters = token.removeprefix(prefix) if inside else token
        return [prefix + c if i or inside else c for i, c in enumerate(characters)]

    found = {t for t in vocabulary if t in wanted or len(spelling(t)) == 1 or t == model.get("unk_token")}
    return found | {t for t in vocabulary if not set(spelling(t)) <= found}


def of_unigram(model: Mapping[str, Any], wanted: Set[str]) -> set[str]:
    """`wanted`, what any text can be written in, and the least likely piece, from which the cost of a character that
    is none of them follows.

    Source: Kudo 2018; the cut with the highest sum of scores is taken.
    """
    scores = dict(model["vocab"])
    number = model.get("unk_id")
    unknown = {model["vocab"][number][0]} if isinstance(number, int) else set()
    found = {p for p in scores if p in wanted} | unknown | {min(scores, key=lambda p: scores[p])}
    bytes_of = {f"<0x{i:02X}>" for i in range(256)}
    if model.get("byte_fallback") and bytes_of <= set(scores):
        return found | bytes_of
    found |= {p for p in scores if len(p) == 1}
    return found | {p for p in scores if not set(p) <= found}
