"""Files that only grow, a line for each entry: events, curves, votes. A damaged line costs only itself.

Each line begins with a checksum of the rest. It is not flushed to the disk unless that is asked for: what a power cut
takes from the end of such a file is still in the index.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.base.durable_files import make_folder

_LONGEST = 4_000_000
"""Bytes of a line; a longer one was written by something else."""


def append(path: Path, entries: Iterable[Any], *, flush: bool = False) -> None:
    """Adds entries, each of which JSON can hold (NaN and infinities too).

    Raises:
        OSError: they cannot be written.
    """
    # It begins with a line end: what a writer that was killed left of a line must not spoil the next one.
    data = "".join(f"\n{line(entry)}" for entry in entries).encode()
    make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if flush:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def line(entry: Any) -> str:
    """A checksum and the entry, without a line end."""
    text = json.dumps(entry)
    return f"{zlib.crc32(text.encode()):08x} {text}"


def entries(path: Path) -> Iterator[Any]:
    """The entries whose lines are whole, in order; none where there is no file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while raw := file.readline(_LONGEST):
            known, _, text = raw.rstrip(b"\n").partition(b" ")
            if known == f"{zlib.crc32(text):08x}".encode():
                try:
                    yield json.loads(text)
                except (ValueError, RecursionError):
                    continue


def damaged(path: Path) -> int:
    """How many lines of a file are not whole.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        written = sum(1 for raw in file if raw.strip())
    return written - sum(1 for _ in entries(path))
