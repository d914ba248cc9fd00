"""Rows with columns, wherever they come from: files, folders, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

PEEKED = 256
"""Rows that are looked at to tell what columns mean."""


@dataclass(frozen=True)
class Row:
    """One row: its values by column, and where it stands ('line 5 of a.csv').

    `torn`: it has more fields than there are columns, as where text with commas stands without quotes.
    """

    values: Mapping[str, object]
    place: str
    torn: bool = False


@dataclass(frozen=True)
class Rows:
    """A data set of rows.

    Attributes:
        where: what it is called in a sentence.
        read: gives all rows, from the first, each time it is called.
        columns: in the order of the file; of rows that differ, every column of the first `PEEKED` rows.
        first: the first rows.
        classes: by column, the names that the data set itself gives to the numbers in it.
        form: how the files were read ('CSV with ;').
        files: how many there are.
    """

    where: str
    read: Callable[[], Iterator[Row]]
    columns: tuple[str, ...]
    first: tuple[Row, ...]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    form: str = ""
    files: int = 1

    @classmethod
    def of(cls, where: str, read: Callable[[], Iterator[Row]], columns: tuple[str, ...] = (), **facts: object) -> Rows:
        """Looks at the first rows; `columns` are those a header names, the others follow."""
        rows = read()
        first = tuple(islice(rows, PEEKED))
        found = dict.fromkeys((*columns, *(name for row in first for name in row.values)))
        return cls(where, read, tuple(found), first, **facts)  # type: ignore[arg-type]
