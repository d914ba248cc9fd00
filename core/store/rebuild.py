"""Makes the index again from the folders, where its file is lost, empty or damaged. One process does it, others wait.

What is damaged is set aside, never deleted. The new file appears whole or not at all, so a rebuild that is killed is
simply done again. Runs come back in the state their records have; whether a running one still runs is decided by the
kernel's locks, as ever (core/jobs/runner.py).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from core.base.durable_files import make_folder, move, replacing
from core.base.line_files import entries
from core.recipe.records import RECORD, Record, read_record
from core.store import comparison_files, result_files
from core.store.folders import EVENTS, SERIES, VOTES, export
from core.store.indexing import index_result
from core.store.schema import MIGRATIONS, VERSION

log = logging.getLogger("retort")
_QUICK_BYTES = 64_000_000
"""Up to this size a file is read through when a process first opens it: a tenth of a second."""
_sound: set[tuple[str, int]] = set()
"""Files (and their inodes) this process has looked at."""
_doubted: set[str] = set()
"""Files that were found damaged since, to be read through whatever their size."""
_guard = threading.Lock()
_LOST_TRIAL = ("The result of this candidate is damaged or gone.", "Resume the run: it measures the candidate again.")


def ready(path: Path) -> None:
    """Makes sure that there is an index at `path`: the one that is there, one made again, or a new one.

    Raises:
        OSError: the home cannot be written.
        sqlite3.Error: the new file cannot be written.
    """
    if fault(path) is None:
        return
    with alone(path.parent):
        found = fault(path)  # another process may have done it meanwhile
        if found is not None:
            remake(path, found)


def remake(path: Path, why: str, name: str = "damaged") -> str:
    """Sets the file aside, makes it again, and says so in one line, which is returned ('' for a new home).

    The caller holds `alone`. `name`: what the old file is called.
    """
    aside = _set_aside(path, name)
    known = _has_folders(path.parent)
    with replacing(path) as fresh, closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = OFF")  # the whole file is flushed before it gets its name
        db.execute("BEGIN")
        for statement in (s for migration in MIGRATIONS for s in migration):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        counted = _fill(db, path.parent) if known else None
        db.execute("COMMIT")
    if counted is None and aside is None:
        return ""
    said = f"The index of {path.parent} {why} and was made again from the folders: {counted or 'nothing was there'}."
    if aside is not None:
        said += f" The old file is kept as {aside.name}."
    log.warning("%s", said)
    return said


def renew(path: Path) -> str:
    """Makes a sound index again; the folders get first what only it knew. The caller holds `alone`.

    Nobody writes to the old one meanwhile; who waited for that finds the new one (core/store/connection.py).
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)) as old:
        old.row_factory = sqlite3.Row
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old.execute("BEGIN IMMEDIATE")
        export(old, path.parent, only_missing=True)
        comparison_files.write_missing(old, path.parent)
        said = remake(path, "was whole", "replaced")
        old.execute("ROLLBACK")
    return said


def fault(path: Path, *, thorough: bool = False) -> str | None:
    """What is wrong with the file, as the end of a sentence; None where it can be used, or that cannot be told now.

    `thorough` reads it all, whatever its size and whoever has looked before.
    """
    try:
        facts = path.stat()
        if not path.is_file():
            return None  # SQLite says what is wrong with that
        if facts.st_size == 0:
            return "was empty"
    except FileNotFoundError:
        return "was missing"
    except OSError:
        return None
    known = (str(path), facts.st_ino)
    if known in _sound and not thorough:
        return None
    look = "integrity_check(1)" if thorough else "quick_check(1)"
    if facts.st_size > _QUICK_BYTES and not thorough and known[0] not in _doubted:
        look = "schema_version"  # its beginning only
    if not _is_sound(path, look):
        return "was damaged"
    with _guard:
        _doubted.discard(known[0])
        _sound.add(known)
    return None


def _is_sound(path: Path, look: str) -> bool:
    """Through SQLite only: a process that opens the file itself, and closes it, lets go of SQLite's locks on it, and
    another process may then take the log away (https://sqlite.org/howtocorrupt.html, section 2.2)."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            found = [r[0] for r in db.execute(f"PRAGMA {look}")]
            return look == "schema_version" or found == ["ok"]
    except sqlite3.Error as error:
        return not is_damage(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is none, or not what it was."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def doubt(path: Path) -> None:
    """The file turned out to be damaged after this process had looked at it: `ready` looks again, whatever its size."""
    with _guard:
        _sound.difference_update({known for known in _sound if known[0] == str(path)})
        _doubted.add(str(path))


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One process at a time makes an index. The kernel releases the lock on any death."""
    make_folder(home / "locks")
    descriptor = os.open(home / "locks" / "index.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _set_aside(path: Path, name: str) -> Path | None:
    """Renames the file and what SQLite keeps beside it; returns where it lies now."""
    stem = f"{path.name}.{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.time_ns() % 1_000_000:06d}"
    aside = None
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            move(path.with_name(path.name + ending), path.with_name(stem + ending))
            aside = aside or path.with_name(stem)
    return aside


def _has_folders(home: Path) -> bool:
    patterns = (f"runs/*/{RECORD}", "candidates/*/result.json", "comparisons/*.json", VOTES)
    return any(next(home.glob(pattern), None) is not None for pattern in patterns)


def _fill(db: sqlite3.Connection, home: Path) -> str:
    """Everything the folders hold; returns how much that was, in words."""
    results, unread = _results(db, home)
    runs = [r for r in map(read_record, sorted(home.glob("runs/*"))) if r is not None]
    runs.sort(key=lambda r: (r.run.get("seq") or 0, r.run.get("created") or 0))
    kept = [r for r in runs if _add_run(db, r)]
    _add_events(db, home, [str(r.run["id"]) for r in kept])
    for record in kept:
        for points in entries(home / "runs" / str(record.run["id"]) / SERIES):
            with suppress(sqlite3.Error, ValueError, TypeError):
                db.executemany(
                    "INSERT OR REPLACE INTO series (run, name, step, value) VALUES (?, ?, ?, ?)",
                    [(record.run["id"], *point) for point in points],
                )
    _add_votes(db, home)
    comparison_files.index_files(db, home)
    left = unread + len(list(home.glob(f"runs/*/{RECORD}"))) - len(kept)
    more = f" ({left} could not be read and were left out)" if left else ""
    return f"{_count(len(kept), 'run')} and {_count(results, 'candidate')}{more}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _results(db: sqlite3.Connection, home: Path) -> tuple[int, int]:
    """Indexes every result file, oldest first: how many, and how many could not be read."""
    paths = {path: result_files.written(path) for path in home.glob("candidates/*/result.json")}
    added = 0
    for path in sorted(paths, key=lambda p: (paths[p], p)):
        result = result_files.read(path)
        if result is not None:
            index_result(db, result, paths[path])
            added += 1
    return added, len(paths) - added


def _add_run(db: sqlite3.Connection, record: Record) -> bool:
    """A run and its trials; False, and nothing added, where the tables do not take them."""
    db.execute("SAVEPOINT run")
    try:
        _insert(db, "runs", record.run)
        for trial in record.trials:
            _insert(db, "trials", {"run": record.run["id"], **trial})
        _put_back_lost(db, record)
    except (sqlite3.Error, ValueError, KeyError) as error:
        log.warning("the record of run %s was left out: %s", record.run.get("id"), error)
        db.execute("ROLLBACK TO run")
        return False
    finally:
        db.execute("RELEASE run")
    return True


def _insert(db: sqlite3.Connection, table: str, values: dict[str, object]) -> None:
    """A row of the columns that the table has; those of another version are left out."""
    columns = [r["name"] for r in db.execute(f"PRAGMA table_info({table})")]
    known = {c: values[c] for c in columns if c in values}
    seq = known.get("seq")
    if seq is not None and db.execute(f"SELECT 1 FROM {table} WHERE seq = ?", (seq,)).fetchone():
        del known["seq"]  # a folder that was copied from another home
    marks = ", ".join("?" * len(known))
    db.execute(f"INSERT INTO {table} ({', '.join(known)}) VALUES ({marks})", list(known.values()))


def _put_back_lost(db: sqlite3.Connection, record: Record) -> None:
    """A trial is done only where its result is there."""
    active = record.run.get("state") in ("queued", "running")
    cause, remedy = ("", "") if active else _LOST_TRIAL
    db.execute(
        "UPDATE trials SET state = ?, cause = ?, remedy = ? WHERE run = ? AND state = 'done'"
        " AND NOT EXISTS (SELECT 1 FROM candidates WHERE candidates.key = trials.key)",
        ("queued" if active else "failed", cause, remedy, record.run["id"]),
    )


def _add_events(db: sqlite3.Connection, home: Path, run_ids: list[str]) -> None:
    """The events of all runs, in the order in which they happened."""
    found = [(run_id, e) for run_id in run_ids for e in entries(home / "runs" / run_id / EVENTS) if isinstance(e, dict)]
    for run_id, e in sorted(found, key=lambda f: float(f[1].get("time") or 0)):
        with suppress(sqlite3.Error):
            db.execute(
                "INSERT INTO events (run, time, level, message, data) VALUES (?, ?, ?, ?, ?)",
                (run_id, e.get("time"), e.get("level"), e.get("message"), e.get("data", "{}")),
            )


def _add_votes(db: sqlite3.Connection, home: Path) -> None:
    for vote in entries(home / VOTES):
        with suppress(sqlite3.Error, KeyError, TypeError):
            if vote.get("cleared"):
                db.execute("DELETE FROM votes WHERE one = ? AND other = ?", (vote["one"], vote["other"]))
                continue
            db.execute(
                "INSERT OR REPLACE INTO votes (one, other, prompt, preferred, created, voter)"
                " VALUES (:one, :other, :prompt, :preferred, :created, :voter)",
                vote,
            )
