"""Tables and progress on a terminal, drawn by rich. Imported only where somebody looks: it takes its time.

Every text comes here cleaned (`core.base.text.visible`) and is drawn as it is: nothing in it is markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

_NARROW = 14
"""Characters a cell of several words is given at least."""
_GAP = 2


def table(stream: TextIO, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """A table no wider than the terminal: long cells take several lines, and columns without room follow below.

    Args:
        right: for each column whether it is flush right, as numbers are.
    """
    console = Console(file=stream, highlight=False)
    for columns in _parts([_least([name, *(r[i] for r in rows)]) for i, name in enumerate(head)], console.width):
        drawn = Table(box=SIMPLE_HEAD, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False)
        for i in columns:
            drawn.add_column(Text(head[i]), justify="right" if right[i] else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(row[i]) for i in columns))
        console.print(drawn)


def pairs(stream: TextIO, rows: Sequence[tuple[str, str]]) -> None:
    """Names with texts beside them, which go on below themselves."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for name, text in rows:
        grid.add_row(Text(name, style="bold"), Text(text))
    Console(file=stream, highlight=False).print(grid)


def _least(cells: Sequence[str]) -> int:
    """Characters a column needs so that no word is broken and few words stand in a line of their own."""
    return max(max(min(len(c), _NARROW), *map(len, c.split(" "))) for c in cells)


def _parts(least: Sequence[int], width: int) -> list[list[int]]:
    """The columns of each table: as many as there is room for, and the first in all of them."""
    parts, room = [[0]], width - least[0]
    for i, needed in enumerate(least[1:], 1):
        if needed + _GAP > room and len(parts[-1]) > 1:
            parts.append([0])
            room = width - least[0]
        parts[-1].append(i)
        room -= needed + _GAP
    return parts


class Bar:
    """One line that is kept up to date: what is being done, a bar, a share and the time so far."""

    def __init__(self, stream: TextIO) -> None:
        message = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True))
        self._drawn = Progress(
            message,
            BarColumn(20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=Console(file=stream, highlight=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._task = self._drawn.add_task("", total=None)
        self._drawn.start()

    def show(self, done: float, total: float, message: str) -> None:
        self._drawn.update(self._task, completed=done, total=total if total > 0 else None, description=message)
        self._drawn.refresh()

    def above(self, text: str) -> None:
        """A line that stays."""
        self._drawn.console.print(Text(text))

    def close(self) -> None:
        self._drawn.stop()
