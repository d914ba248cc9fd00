"""Words on a terminal: one document on standard output, progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from core.base.errors import RetortError
from core.base.json_io import dump
from core.base.progress import Level
from core.base.text import visible

if TYPE_CHECKING:
    from core.commands.drawn import Bar


def put(text: str) -> None:
    """A line of the answer."""
    sys.stdout.write(visible(text) + "\n")


def put_json(document: object) -> None:
    """The whole answer, as one JSON document. NaN and infinities, which JSON cannot express, become null."""
    put(dump(document))


def put_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be, on a terminal no wider than it; those that hold numbers are flush right."""
    table = [[_plain(cell) for cell in row] for row in (head, *rows)]
    right = [
        i > 0 and all(not r[i] or r[i][0] in "0123456789+-\u2013\u2212" for r in table[1:]) for i in range(len(head))
    ]
    if sys.stdout.isatty():
        from core.commands import drawn

        drawn.table(sys.stdout, table[0], table[1:], right)
        return
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        put("  ".join(cells).rstrip())


def put_pairs(rows: Sequence[tuple[str, str]]) -> None:
    """A line for each name, with its text."""
    table = [(_plain(name), _plain(text)) for name, text in rows]
    if sys.stdout.isatty():
        from core.commands import drawn

        drawn.pairs(sys.stdout, table)
        return
    for name, text in table:
        put(f"{name:18}{text}")


def put_changes(sides: tuple[str, str], rows: Sequence[tuple[str, str, str, str]]) -> None:
    """What was one thing and is another: what, before, after, remark."""
    if rows and sys.stdout.isatty():
        put_table(["", *sides, "remark"], rows)
        return
    for name, before, after, remark in rows:
        put(f"{name}: {before} -> {after}{f' ({remark})' if remark else ''}")


def say(text: str) -> None:
    """A line beside the answer."""
    sys.stderr.write(_plain(text) + "\n")
    sys.stderr.flush()


def refuse(error: RetortError) -> None:
    """Cause and remedy, as the pages show them."""
    say(f"{error.cause} {error.remedy}")


class Line:
    """A reporter for the terminal: one line that is kept up to date, or a line per change of message in a file.

    `with Line() as line`: what happens to the work, the terminal is as before.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._shown = ""
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def progress(self, done: float, total: float, message: str) -> None:
        if self._stream.isatty():
            if self._bar is None:
                from core.commands.drawn import Bar

                self._bar = Bar(self._stream)
            self._bar.show(done, total, _plain(message))
        elif message.partition(":")[0] != self._shown.partition(":")[0]:
            share = f"{100 * min(1.0, done / total):3.0f} %  " if total > 0 else ""
            self._write(share + _plain(message))
        self._shown = message

    def event(self, level: Level, message: str, **data: object) -> None:
        text = _plain(message) if level == "info" else f"{level.capitalize()}: {_plain(message)}"
        if self._bar is not None:
            self._bar.above(text)
        else:
            self._write(text)
        self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def series(self, name: str, step: int, value: float) -> None:
        return None

    def checkpoint(self) -> None:
        return None

    def end(self) -> None:
        """Closes the line that is kept up to date."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._shown = ""


def _plain(text: str) -> str:
    """One line: names and messages may hold what a terminal would obey."""
    return visible(" ".join(text.splitlines()).replace("\t", " "))
