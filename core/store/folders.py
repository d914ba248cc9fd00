"""What the index knows, in the folders too: records of runs, events, curves and votes. `rebuild.py` reads them back."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from core.base import line_files
from core.base.integrity import write_sealed
from core.recipe.records import Record, write_record
from core.store import result_files

EVENTS, SERIES, VOTES = "events.jsonl", "series.jsonl", "votes.jsonl"


def record_run(db: sqlite3.Connection, runs: Path, run_id: str) -> None:
    """Writes the run's record as it is in this transaction; nothing where there is no such run.

    Raises:
        OSError: it cannot be written.
    """
    row = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is not None:
        write_record(runs / run_id, record_of(db, row))


def record_of(db: sqlite3.Connection, row: sqlite3.Row) -> Record:
    """What a run's record says; its rows as they are."""
    trials = db.execute("SELECT * FROM trials WHERE run = ? ORDER BY position", (row["id"],)).fetchall()
    return Record(run=dict(row), trials=[{k: t[k] for k in t.keys() if k != "run"} for t in trials])  # noqa: SIM118


def note_event(runs: Path, run_id: str, time: float, level: str, message: str, data: str) -> None:
    """Adds an event to those in the run's folder. `data`: as JSON."""
    line_files.append(runs / run_id / EVENTS, [{"time": time, "level": level, "message": message, "data": data}])


def note_points(runs: Path, run_id: str, points: Sequence[tuple[str, int, float | None]]) -> None:
    """Adds points of curves (name, step, value) to those in the run's folder; the later of two for a step counts."""
    if points:
        line_files.append(runs / run_id / SERIES, [list(points)])


def note_vote(home: Path, vote: dict[str, object]) -> None:
    """Adds a vote; one with `cleared` forgets all of its pair."""
    line_files.append(home / VOTES, [vote], flush=True)


def export(db: sqlite3.Connection, home: Path, *, only_missing: bool = False) -> None:
    """Writes all that only the index knows into the folders, for a home from before they had it.

    `only_missing`: leaves what is there, and does no more than write what is not.

    Raises:
        OSError: it cannot be written.
    """
    runs = home / "runs"
    for row in db.execute("SELECT * FROM runs ORDER BY seq").fetchall():
        folder = runs / row["id"]
        write_record(folder, record_of(db, row))
        if not (only_missing and (folder / EVENTS).exists()):
            (folder / EVENTS).unlink(missing_ok=True)
            events = db.execute("SELECT * FROM events WHERE run = ? ORDER BY id", (row["id"],))
            kept = [{k: e[k] for k in ("time", "level", "message", "data")} for e in events]
            line_files.append(folder / EVENTS, kept)
        if not (only_missing and (folder / SERIES).exists()):
            (folder / SERIES).unlink(missing_ok=True)
            points = db.execute("SELECT name, step, value FROM series WHERE run = ? ORDER BY name, step", (row["id"],))
            note_points(runs, row["id"], [tuple(p) for p in points])
    if not (only_missing and (home / VOTES).exists()):
        (home / VOTES).unlink(missing_ok=True)
        for vote in db.execute("SELECT * FROM votes ORDER BY created").fetchall():
            note_vote(home, dict(vote))
    for key, result, created in db.execute("SELECT key, result, created FROM candidates").fetchall():
        path = home / "candidates" / key / "result.json"
        if result_files.read(path) is None:
            json.loads(result)  # what is damaged in the index must not be handed on
            write_sealed(path, result)
            os.utime(path, (created, created))
