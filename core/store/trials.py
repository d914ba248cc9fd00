"""Trials of a run: announced in order, then queued, running, done or failed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from core.recipe.results import Trial
from core.store.connection import Database
from core.store.rows import TrialRow, trial_row


class Trials:
    """The table of trials."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, run_id: str, trials: Sequence[Trial]) -> None:
        """Announces the trials of a run; those it has already stay as they are."""
        with self._db.write(run=run_id) as db:
            db.executemany(
                "INSERT INTO trials (run, position, key, label, prune, state) VALUES (?, ?, ?, ?, ?, 'queued')"
                " ON CONFLICT (run, position) DO UPDATE SET key = excluded.key, label = excluded.label,"
                " prune = excluded.prune, state = 'queued', started = NULL, finished = NULL, cause = '', remedy = ''"
                " WHERE trials.key <> excluded.key",
                [(run_id, t.index, t.key, t.label, t.prune.model_dump_json() if t.prune else None) for t in trials],
            )
            positions = json.dumps([t.index for t in trials])
            db.execute(
                "DELETE FROM trials WHERE run = ? AND position NOT IN (SELECT value FROM json_each(?))",
                (run_id, positions),
            )

    def of(self, run_id: str) -> list[TrialRow]:
        """The trials of a run, in order."""
        return [trial_row(r) for r in self._db.read("SELECT * FROM trials WHERE run = ? ORDER BY position", (run_id,))]

    def start(self, run_id: str, index: int) -> None:
        self._set(
            "state = 'running', started = :now, finished = NULL, cause = '', remedy = ''",
            run_id,
            index,
        )

    def fail(self, run_id: str, index: int, cause: str, remedy: str) -> None:
        self._set(
            "state = 'failed', finished = MAX(:now, COALESCE(started, 0)), cause = :cause, remedy = :remedy",
            run_id,
            index,
            cause=cause,
            remedy=remedy,
        )

    def finish(self, run_id: str, index: int, label: str | None = None) -> None:
        """Marks a trial done, by the label of what was done. The run made progress, so its attempts start anew."""
        with self._db.write(run=run_id) as db:
            if label is not None:
                db.execute("UPDATE trials SET label = ? WHERE run = ? AND position = ?", (label, run_id, index))
            changed = db.execute(
                "UPDATE trials SET state = 'done', finished = MAX(:now, COALESCE(started, 0)), cause = '', remedy = ''"
                " WHERE run = :run AND position = :position AND state <> 'done'",
                {"run": run_id, "position": index, "now": time.time()},
            ).rowcount
            # Only a trial that was not done is progress: a restart that finds the old ones done is none.
            if changed:
                db.execute("UPDATE runs SET attempts = 0 WHERE id = ?", (run_id,))

    def stop(self, run_id: str) -> list[str]:
        """Puts back the trials that a worker which has stopped left running; returns their labels."""
        with self._db.write(run=run_id) as db:
            rows = db.execute(
                "UPDATE trials SET state = 'queued', started = NULL, finished = NULL"
                " WHERE run = ? AND state = 'running' RETURNING label",
                (run_id,),
            ).fetchall()
        return [r[0] for r in rows]

    def _set(self, assignments: str, run_id: str, index: int, **values: object) -> None:
        with self._db.write(run=run_id) as db:
            db.execute(
                f"UPDATE trials SET {assignments} WHERE run = :run AND position = :position",
                {"run": run_id, "position": index, "now": time.time(), **values},
            )
