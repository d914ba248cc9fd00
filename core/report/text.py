"""Text from users and models as a report shows it: plain, bounded, and never markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.base.text import one_line


def plain(text: str, limit: int = 160) -> str:
    """One line of at most `limit` characters, without control or direction marks."""
    return one_line(text[: 20 * limit], limit)


def filled(lines: Sequence[str], most: int, width: int) -> Iterator[list[str]]:
    """The lines on as many slides as they need, where `most` rows of `width` characters fit on each."""
    some: list[str] = []
    rows = 0
    for line in lines:
        takes = max(1, -(-len(line) // width))
        if some and rows + takes > most:
            yield some
            some, rows = [], 0
        some.append(line)
        rows += takes
    if some:
        yield some
