"""The end of a run's log, however long the log is."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


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
    return _ESCAPES.sub("", "\n".join(lines))
