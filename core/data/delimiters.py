"""What stands between the columns of a table that calls itself CSV?"""

from __future__ import annotations

import csv
import io
from itertools import islice

_MARKS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
_LOOKED_AT = 50


def said_delimiter(mark: str) -> str:
    """The delimiter in words."""
    return _MARKS[mark]


def delimiter_of(beginning: str, kind: str) -> tuple[str, list[str]]:
    """The delimiter, and the header it cuts: that by which most rows have as many fields as the header, and several.

    Args:
        beginning: the first lines.
        kind: the file's ending: a `.tsv` has tabs where nothing speaks against them.

    Raises:
        ValueError: there is no header, or two of its columns have one name.
        csv.Error: the table is damaged.
    """
    marks = ["\t", ",", ";", "|"] if kind == "tsv" else list(_MARKS)
    best, share, header = marks[0], -1.0, _cut(beginning, marks[0])[0]
    for mark in marks:
        first, fit = _cut(beginning, mark)
        if len(first) > 1 and fit > share:
            best, share, header = mark, fit, first
    names = [name.strip() for name in header]
    twice = next((n for i, n in enumerate(names) if n and n in names[:i]), None)
    if not any(names):
        raise ValueError("no column is named in its first line")
    if twice is not None:
        raise ValueError(f"two columns are called '{twice[:60]}'")
    return best, names


def _cut(beginning: str, mark: str) -> tuple[list[str], float]:
    """The header, and the share of the rows after it that have as many fields."""
    reader = csv.reader(io.StringIO(beginning, newline=""), delimiter=mark)
    header = next(reader, [])
    rows = [row for row in islice(reader, _LOOKED_AT) if row]
    return header, sum(len(row) == len(header) for row in rows) / len(rows) if rows else 0.0
