"""The end of a run's log, however long the log is."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

from core.base.text import visible

_COLOURS = re.compile(r"\x1b\[[0-9;]*[mK]")


class Plain(logging.Formatter):
    """Writes out what cannot be seen: names, tags and references may hold what a terminal that shows the log obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def log_to_stderr(form: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Lets a program of its own write its log, which goes to a file, as plain text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Plain(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log_path(run_folder: Path) -> Path:
    return run_folder / "log.txt"


def tail(path: Path, kilobytes: int = 64) -> str:
    """The last `kilobytes` of a text file as whole lines, without terminal control codes; "" where there is none.

    Of a line that a progress bar wrote over and over, the last state is kept.
    """
    size = kilobytes * 1024
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            raw = file.read(size)
    except FileNotFoundError:
        return ""
    text = raw.decode("utf-8", errors="replace")
    if end > size:
        text = text.partition("\n")[2] or text
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return visible(_COLOURS.sub("", "\n".join(lines)))
