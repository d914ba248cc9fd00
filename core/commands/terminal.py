"""Words on a terminal: one document on standard output, progress on standard error."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from core.base.errors import RetortError
from core.base.json_io import dump
from core.base.progress import Level
from core.base.text import visible


def put(text: str) -> None:
    """A line of the answer."""
    sys.stdout.write(visible(text) + "\n")


def put_json(document: Any) -> None:
    """The whole answer, as one JSON document. NaN and infinities, which JSON cannot express, become null."""
    put(dump(document))


def put_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be; those that hold numbers are flush right."""
    table = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    right = [
        i > 0 and all(not r[i] or r[i][0] in "0123456789+-\u2013\u2212" for r in table[1:]) for i in range(len(head))
    ]
    for row in table:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        put("  ".join(cells).rstrip())


def say(text: str) -> None:
    """A line beside the answer."""
    sys.stderr.write(_plain(text) + "\n")
    sys.stderr.flush()


def refuse(error: RetortError) -> None:
    """Cause and remedy, as the pages show them."""
    say(f"{error.cause} {error.remedy}")


class Line:
    """A reporter for the terminal: one line that is kept up to date, or a line per change of message in a file."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = ""

    def progress(self, done: float, total: float, message: str) -> None:
        share = f"{100 * min(1.0, done / total):3.0f} %  " if total > 0 else ""
        if self._stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{(share + _plain(message))[:width]}")
            self._stream.flush()
        elif message.partition(":")[0] != self._shown.partition(":")[0]:
            self._stream.write(share + _plain(message) + "\n")
            self._stream.flush()
        self._shown = message

    def event(self, level: Level, message: str, **data: Any) -> None:
        self.end()
        self._stream.write(f"{_plain(message)}\n" if level == "info" else f"{level.capitalize()}: {_plain(message)}\n")
        self._stream.flush()

    def series(self, name: str, step: int, value: float) -> None:
        return None

    def checkpoint(self) -> None:
        return None

    def end(self) -> None:
        """Closes the line that is kept up to date."""
        if self._shown and self._stream.isatty():
            self._stream.write("\n")
        self._shown = ""


def _plain(text: str) -> str:
    """One line: names and messages may hold what a terminal would obey."""
    return visible(" ".join(text.splitlines()).replace("\t", " "))
