"""Where two texts that start alike part."""

from __future__ import annotations

from os.path import commonprefix


def parting(first: str, other: str) -> int:
    """How many characters of both are the same from the start, cut back to the beginning of a word.

    The whole length where one is the beginning of the other.
    """
    same = len(commonprefix([first, other]))
    if same in (len(first), len(other)):
        return same
    return max(first.rfind(" ", 0, same), first.rfind("\n", 0, same)) + 1
