"""Runs of words that two texts may share: how overlap is found and how documents are kept apart."""

from __future__ import annotations

import re

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
"""A word; where a script has no spaces, each character is one."""


def shingles(text: str, words: int) -> set[int]:
    """Hashes of every run of `words` consecutive words, letter case and punctuation aside.

    A shorter text is one run. Hashes are comparable within one process only.
    """
    found = _WORD.findall(text.lower())
    if not found:
        return set()
    if len(found) <= words:
        return {hash(tuple(found))}
    return set(map(hash, zip(*(found[i:] for i in range(words)), strict=False)))
