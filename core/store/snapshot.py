"""The index as it is at one moment, while others go on writing to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def snapshot(database: Path, target: Path) -> None:
    """Writes the index as it is now into `target`, an empty file. Readers and writers are not stopped.

    Raises:
        sqlite3.Error: it cannot be read, or stays locked.
    """
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=30)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
