"""One SQLite connection a thread, in WAL, with migrations on first use."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from core.base.durable_files import make_folder, replacing
from core.base.errors import RetortError
from core.base.private_files import tighten
from core.store.folders import export, record_run
from core.store.problems import plain_errors
from core.store.rebuild import doubt, is_damage, ready
from core.store.schema import MIGRATIONS, RECORDED, VERSION

T = TypeVar("T")
BUSY_SECONDS = 30.0
"""How long a reader or writer waits for another process before it gives up."""


class _Kept:
    """A thread's connection and the file it was opened on, closed when the thread ends.

    The garbage collector alone would close it late (a connection is part of a reference cycle), and a
    server has a new thread for every rerun of a page.
    """

    def __init__(self, connection: sqlite3.Connection, file: tuple[int, int] | None) -> None:
        self.connection = connection
        self.file = file
        self.owner = os.getpid()

    def __del__(self) -> None:
        if self.owner == os.getpid():
            self.connection.close()


class Database:
    """Opens, migrates and hands out connections; every statement runs through `read` or `write`.

    Raises:
        RetortError: the folder cannot be written, the disk is full, the file is damaged, stays locked,
            or comes from a newer version.
    """

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS, *, read_only: bool = False) -> None:
        self.path = path
        self.folder = path.parent
        self.runs = self.folder / "runs"
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self.read_only = False
        with plain_errors(self.folder):
            make_folder(self.folder)
            tighten(self.folder)
            self._again_if_damaged(self._migrate)
        if read_only:
            self.read_only, self._local = True, threading.local()

    def read(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with plain_errors(self.folder):
            return self._again_if_damaged(lambda: self._connection().execute(sql, values).fetchall())

    @contextmanager
    def write(self, run: str | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start, so what it reads stays true until it ends.

        `run`: the id of a run it changes, whose record is written with it (core/store/folders.py).
        """
        with plain_errors(self.folder):
            connection = self._again_if_damaged(self._begin)
            before = connection.total_changes
            try:
                yield connection
                if run is not None and connection.total_changes != before:
                    self.record(connection, run)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def record(self, connection: sqlite3.Connection, run_id: str) -> None:
        """Writes the record of a run that this transaction changed."""
        record_run(connection, self.runs, run_id)

    def _again_if_damaged(self, work: Callable[[], T]) -> T:
        """Does it, and once more where the file turned out to be damaged: it is made again in between."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not is_damage(error) or (kept := getattr(self._local, "kept", None)) and kept.connection.in_transaction:
                raise
        doubt(self.path)
        self._local.kept = None
        return work()

    def _begin(self) -> sqlite3.Connection:
        """A connection that holds the write lock of the file that has the name now: it may be replaced meanwhile."""
        while True:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            if self._local.kept.file == _file(self.path):
                return connection
            connection.execute("ROLLBACK")

    def _connection(self) -> sqlite3.Connection:
        # A forked child must not use its parent's connection: SQLite's locks belong to the process.
        kept: _Kept | None = getattr(self._local, "kept", None)
        if kept is not None and kept.owner == os.getpid() and self._is_current(kept):
            return kept.connection
        ready(self.path)
        file = _file(self.path)  # before it is opened: replaced in between, it is seen to be another one next time
        kept = self._local.kept = _Kept(self._open(), file)
        return kept.connection

    def _is_current(self, kept: _Kept) -> bool:
        """False where somebody removed or replaced the file: what is written to the old one is lost."""
        return kept.connection.in_transaction or kept.file == _file(self.path)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: a submitted run survives a power cut. The worker writes about twice a second, so it costs nothing.
        connection.execute("PRAGMA synchronous = FULL")
        self._use_wal(connection)
        if self.read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """WAL lets pages read while the worker writes. Switching needs the file alone, and SQLite does not wait."""
        give_up = time.monotonic() + self._busy_seconds
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def _migrate(self) -> None:
        connection = self._connection()
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise RetortError(
                f"The data in {self.folder} was written by a newer Retort (format {found}, this one reads {VERSION}).",
                "Update Retort, or choose another folder with RETORT_HOME or --home.",
            )
        if found == VERSION:
            return
        if found:
            self._back_up(found)
        with self.write() as transaction:
            # Another process may have migrated while this one waited for the lock.
            found = transaction.execute("PRAGMA user_version").fetchone()[0]
            for statements in MIGRATIONS[found:]:
                for statement in statements:
                    transaction.execute(statement)
            if found < RECORDED:
                export(transaction, self.folder)
            if found < VERSION:
                transaction.execute(f"PRAGMA user_version = {VERSION}")

    def _back_up(self, version: int) -> None:
        """Keeps the older file beside the migrated one, so that going back to the older version is possible."""
        target = self.path.with_name(f"{self.path.stem}-format-{version}{self.path.suffix}")
        if target.exists():
            return
        with replacing(target) as partial, closing(sqlite3.connect(partial)) as copy:
            self._connection().backup(copy)


def _file(path: Path) -> tuple[int, int] | None:
    """Which file has the name now."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
