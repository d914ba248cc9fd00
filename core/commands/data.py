"""`data`: a look at files of your own, and what a recipe would read of them."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from core.base.settings import Settings
from core.commands.terminal import put, put_json, put_table
from core.data.preview import Preview, Reading, preview
from core.recipe.check import check_columns
from core.recipe.parts import Columns

_CLASSES, _WIDE = 20, 60


def register(command: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    command.add_argument("path", metavar="PATH", help="a file, a folder, or a pattern in quotes")
    command.add_argument("--columns", metavar="text=NAME,label=NAME", default="", help="which column means what")


def look(chosen: argparse.Namespace, settings: Settings) -> int:
    """Five rows, their count, and how each use would read them.

    Raises:
        RetortError: the data cannot be read, or a column is not there.
    """
    found = preview(chosen.path, _columns(chosen.columns), settings)
    if chosen.json:
        put_json(asdict(found))
        return 0
    files = f"{found.files} files" if found.files > 1 else "one file"
    repeated = f", {found.repeated:,} of them repeat an earlier one" if found.repeated else ""
    put(f"{found.where}: {found.form}, {files}, {_rows(found.count)}{repeated}.")
    put_table(found.columns, [[row[c][:_WIDE] for c in found.columns] for row in found.rows])
    for reading in found.readings:
        _put_reading(reading)
    _put_classes(found)
    return 0


def _columns(text: str) -> Columns:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return check_columns({what.strip(): name.strip() for what, _, name in pairs})


def _put_reading(reading: Reading) -> None:
    if reading.obstacle:
        put(f"As {reading.use}: no. {reading.obstacle}")
        return
    columns = ", ".join(f"{what.replace('_', ' ')} from '{name}'" for what, name in reading.columns.items())
    put(f"As {reading.use}: {_rows(reading.rows)} ({columns}).")
    for note in reading.notes:
        put(f"  {note}")


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _put_classes(found: Preview) -> None:
    for reading in found.readings:
        if reading.classes:
            listed = ", ".join(f"{name} {count:,}" for name, count in reading.classes[:_CLASSES])
            more = f" and {len(reading.classes) - _CLASSES} more" if len(reading.classes) > _CLASSES else ""
            put(f"{len(reading.classes)} classes: {listed}{more}.")
