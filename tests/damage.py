"""What can happen to a file, for tests of what is done about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path) -> None:
    """One bit in the middle, which no reader of the format can notice in a file of weights."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size * 3 // 4)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


HARMS: dict[str, Callable[[Path], None]] = {"truncate": truncate, "empty": empty, "flip": flip, "delete": delete}
