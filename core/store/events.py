"""What a run says while it works: events (sentences) and series (live curves)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from core.base.progress import Level
from core.store.connection import Database
from core.store.folders import note_event, note_points
from core.store.rows import EventRow, SeriesPoint, event_row


class Events:
    """Sentences a run recorded for its user."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run_id: str, level: Level, message: str, **data: object) -> None:
        """`data` is kept as JSON; what JSON cannot hold is kept as text."""
        now, kept = time.time(), json.dumps(data, default=str)
        with self._db.write() as db:
            db.execute(
                "INSERT INTO events (run, time, level, message, data) VALUES (?, ?, ?, ?, ?)",
                (run_id, now, level, message, kept),
            )
            note_event(self._db.runs, run_id, now, level, message, kept)

    def tail(self, run_id: str, limit: int = 200, after: int = 0) -> list[EventRow]:
        """The last `limit` events with an id above `after`, oldest first."""
        sql = "SELECT * FROM events WHERE run = ? AND id > ? ORDER BY id DESC LIMIT ?"
        return [event_row(r) for r in reversed(self._db.read(sql, (run_id, after, limit)))]


class Series:
    """Curves: one value for each step of each name."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run_id: str, points: Sequence[tuple[str, int, float]]) -> None:
        """Adds (name, step, value); a step reached again after a resume replaces the earlier one."""
        with self._db.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO series (run, name, step, value) VALUES (?, ?, ?, ?)",
                [(run_id, *p) for p in points],
            )
            note_points(self._db.runs, run_id, points)

    def names(self, run_id: str) -> list[str]:
        return [r[0] for r in self._db.read("SELECT DISTINCT name FROM series WHERE run = ? ORDER BY name", (run_id,))]

    def last(self, run_id: str, name: str) -> float | None:
        """The value at the latest step; None where there is none."""
        sql = "SELECT value FROM series WHERE run = ? AND name = ? ORDER BY step DESC LIMIT 1"
        rows = self._db.read(sql, (run_id, name))
        return None if not rows or rows[0][0] is None else float(rows[0][0])

    def read(self, run_id: str, name: str, points: int = 500) -> list[SeriesPoint]:
        """At most `points` buckets of equal width over the steps, each with its mean, low and high."""
        ends = self._db.read("SELECT MIN(step), MAX(step) FROM series WHERE run = ? AND name = ?", (run_id, name))[0]
        if ends[0] is None:
            return []
        width = max(1, -(-(ends[1] - ends[0] + 1) // points))
        sql = (
            "SELECT MIN(step), AVG(value), MIN(value), MAX(value) FROM series"
            " WHERE run = ? AND name = ? AND value IS NOT NULL GROUP BY (step - ?) / ? ORDER BY 1"
        )
        return [SeriesPoint(*r) for r in self._db.read(sql, (run_id, name, ends[0], width))]
