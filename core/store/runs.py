"""Runs: add, find, change state. Every change of state is a compare-and-set."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core import __version__
from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.store import needs
from core.store.comparison_files import forget_candidates, remove_files
from core.store.connection import Database
from core.store.filters import run_filter
from core.store.labels import clean_notes, clean_tags
from core.store.rows import RunCounts, RunRow, RunState, run_row

_COLUMNS = """
    runs.*,
    (SELECT COUNT(*) FROM trials WHERE run = runs.id) AS trials_total,
    (SELECT COUNT(*) FROM trials WHERE run = runs.id AND state = 'done') AS trials_done,
    (SELECT COUNT(*) FROM trials WHERE run = runs.id AND state = 'failed') AS trials_failed
"""

_ORPHANS = """
    SELECT DISTINCT key FROM trials WHERE run = :id
    AND NOT EXISTS (SELECT 1 FROM trials AS other WHERE other.key = trials.key AND other.run <> :id)
"""


def _unused_id(db: sqlite3.Connection, folders: Path) -> str:
    """Readable and roughly sortable: 20261125-174427-ab12. `RunRow.seq` is the true order."""
    while True:
        run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        known = db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone()
        if known is None and not (folders / run_id).exists():
            return run_id


class Runs:
    """The table of runs."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db, self._settings = database, settings

    def add(
        self,
        kind: str,
        name: str,
        model: str,
        recipe: dict[str, Any],
        actor: Actor,
        *,
        tags: Sequence[str] = (),
        notes: str = "",
        max_queued: int | None = None,
        join_active: bool = False,
        refuse_missing: bool = False,
    ) -> str:
        """Queues a run for `actor`; returns its id, or with `join_active` that of an active run of this kind and model.

        Raises:
            RetortError: `max_queued` runs are waiting already; with `refuse_missing`, a run it starts from is gone.
        """
        with self._db.write() as db:
            if refuse_missing:
                needs.refuse_missing(db, [model, recipe])
            if join_active:
                sql = "SELECT id FROM runs WHERE state IN ('queued', 'running') AND kind = ? AND model = ?"
                active = db.execute(sql, (kind, model)).fetchone()
                if active is not None:
                    return str(active[0])
            waiting = db.execute("SELECT COUNT(*) FROM runs WHERE state = 'queued'").fetchone()[0]
            if max_queued is not None and waiting >= max_queued:
                raise RetortError(
                    f"{waiting} runs are waiting already, which is as many as the queue holds.",
                    "Wait until some are finished, or cancel some on the Runs page.",
                )
            run_id = _unused_id(db, self._db.runs)
            db.execute(
                "INSERT INTO runs (id, kind, name, model, recipe, state, created, tags, notes, started_by,"
                " settings) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                (
                    run_id,
                    kind,
                    name,
                    model,
                    json.dumps(recipe),
                    time.time(),
                    json.dumps(list(tags)),
                    notes,
                    actor.name,
                    json.dumps(self._settings.kept(actor)),
                ),
            )
            self._db.record(db, run_id)
        return run_id

    def get(self, run_id: str) -> RunRow:
        """The run.

        Raises:
            RetortError: there is none with this id.
        """
        rows = self._db.read(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,))
        if not rows:
            raise RetortError(f"There is no run '{run_id}'.", "Open the Runs page to see which runs there are.")
        return run_row(rows[0])

    def find(
        self,
        *,
        states: Sequence[RunState] | None = None,
        kinds: Sequence[str] | None = None,
        model: str | None = None,
        tag: str | None = None,
        text: str = "",
        limit: int = 50,
        offset: int = 0,
        oldest_first: bool = False,
    ) -> list[RunRow]:
        """A page of runs, newest first. `text` is looked for in id, name, model and notes."""
        where, values = run_filter(states, kinds, model, tag, text)
        order = "ASC" if oldest_first else "DESC"
        sql = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY seq {order} LIMIT ? OFFSET ?"
        return [run_row(r) for r in self._db.read(sql, (*values, limit, offset))]

    def count(
        self,
        *,
        states: Sequence[RunState] | None = None,
        kinds: Sequence[str] | None = None,
        model: str | None = None,
        tag: str | None = None,
        text: str = "",
    ) -> int:
        """How many runs `find` has over all its pages."""
        where, values = run_filter(states, kinds, model, tag, text)
        return int(self._db.read(f"SELECT COUNT(*) FROM runs WHERE {where}", values)[0][0])

    def counts(self) -> RunCounts:
        """How many runs are in each state."""
        return RunCounts(**{r[0]: r[1] for r in self._db.read("SELECT state, COUNT(*) FROM runs GROUP BY state")})

    def tags(self) -> list[str]:
        """Every tag in use, in alphabetical order."""
        return [r[0] for r in self._db.read("SELECT DISTINCT value FROM runs, json_each(runs.tags) ORDER BY value")]

    def owner(self, reference: str) -> str | None:
        """The run that `run:ID`, `run:ID/KEY` or `run:KEY` points into (the first that has the key), if any."""
        first, _, rest = reference.removeprefix("run:").partition("/")
        rows = self._db.read(
            "SELECT id FROM runs WHERE id = ? OR id IN (SELECT run FROM trials WHERE key IN (?, ?))"
            " ORDER BY id <> ?, seq LIMIT 1",
            (first, first, rest, first),
        )
        return str(rows[0][0]) if rows else None

    def derived(self) -> dict[str, dict[str, Any]]:
        """Recipes, by run, of all runs that start from a model or a teacher that a run made; oldest first."""
        rows = self._db.read("SELECT id, recipe FROM runs WHERE recipe LIKE '%\"run:%' ORDER BY seq")
        return {r[0]: json.loads(r[1]) for r in rows}

    def kinds(self) -> list[str]:
        """Every kind of run, in alphabetical order."""
        return [r[0] for r in self._db.read("SELECT DISTINCT kind FROM runs ORDER BY kind")]

    def models(self) -> list[str]:
        """The models that runs work on, in alphabetical order, at most 200."""
        return [r[0] for r in self._db.read("SELECT DISTINCT model FROM runs ORDER BY model LIMIT 200")]

    def claim(self, run_id: str) -> bool:
        """queued -> running; False where somebody else was faster or the run was cancelled."""
        return self._change(
            "UPDATE runs SET state = 'running', attempts = attempts + 1, started = COALESCE(started, :now),"
            " finished = NULL, cause = '', remedy = '', message = 'Starting', version = :version"
            " WHERE id = :id AND state = 'queued' AND cancel_requested = 0",
            run_id,
            version=__version__,
        )

    def progress(self, run_id: str, done: float, total: float, message: str) -> bool:
        """Records progress of a running run."""
        return self._change(
            "UPDATE runs SET done = :done, total = :total, message = :message WHERE id = :id AND state = 'running'",
            run_id,
            recorded=False,
            done=done,
            total=total,
            message=message,
        )

    def finish(self, run_id: str, state: RunState, *, message: str = "", cause: str = "", remedy: str = "") -> bool:
        """running -> done, failed or cancelled; False where the run was not running."""
        return self._change(
            "UPDATE runs SET state = :state, finished = MAX(:now, started), message = :message, cause = :cause,"
            " remedy = :remedy, cancel_requested = 0 WHERE id = :id AND state = 'running'",
            run_id,
            state=state,
            message=message,
            cause=cause,
            remedy=remedy,
        )

    def request_cancel(self, run_id: str) -> RunState:
        """A queued run is cancelled at once, a running one is asked to stop. Returns its state afterwards."""
        with self._db.write(run=run_id) as db:
            db.execute(
                "UPDATE runs SET state = 'cancelled', finished = MAX(:now, created), message = ''"
                " WHERE id = :id AND state = 'queued'",
                {"id": run_id, "now": time.time()},
            )
            db.execute("UPDATE runs SET cancel_requested = 1 WHERE id = ? AND state = 'running'", (run_id,))
        return self.get(run_id).state

    def cancel_requested(self, run_id: str) -> bool:
        rows = self._db.read("SELECT cancel_requested FROM runs WHERE id = ?", (run_id,))
        return bool(rows and rows[0][0])

    def requeue(self, run_id: str, actor: Actor | None) -> bool:
        """Back to the queue: one that has ended, for whoever asks; or, for None, a running one whose worker was lost.

        One that has ended starts with fresh attempts and the asker's settings, and its failed trials wait again.
        """
        lost = actor is None
        kept = None if actor is None else json.dumps(self._settings.kept(actor))
        came_from = "state = 'running'" if lost else "state IN ('done', 'failed', 'cancelled')"
        attempts = "attempts" if lost else "0"
        unfinished = "('running')" if lost else "('running', 'failed')"
        settings = "settings" if lost else ":settings"
        with self._db.write(run=run_id) as db:
            changed = db.execute(
                f"UPDATE runs SET state = 'queued', attempts = {attempts}, finished = NULL, cancel_requested = 0,"
                f" cause = '', remedy = '', message = '', settings = {settings} WHERE id = :id AND {came_from}",
                {"id": run_id, "settings": kept},
            ).rowcount
            # In the same transaction: a runner may start the run the moment it is queued.
            if changed:
                db.execute(
                    "UPDATE trials SET state = 'queued', started = NULL, finished = NULL, cause = '', remedy = ''"
                    f" WHERE run = ? AND state IN {unfinished}",
                    (run_id,),
                )
        return changed == 1

    def annotate(
        self, run_id: str, *, name: str | None = None, tags: Sequence[str] | None = None, notes: str | None = None
    ) -> None:
        """Changes what the user wrote about a run; None leaves a field.

        Raises:
            RetortError: a tag or the note breaks the rules of core/store/labels.py, or there is no such run.
        """
        changed = self._change(
            "UPDATE runs SET name = COALESCE(:name, name), tags = COALESCE(:tags, tags),"
            " notes = COALESCE(:notes, notes) WHERE id = :id",
            run_id,
            name=name,
            tags=None if tags is None else json.dumps(list(clean_tags(tags))),
            notes=None if notes is None else clean_notes(notes),
        )
        if not changed:
            self.get(run_id)

    def delete(self, run_id: str, before_commit: Callable[[list[str]], None]) -> list[str]:
        """Deletes a run that is not active, the candidates no other run refers to, and the comparisons of these.

        `before_commit` gets their keys and moves their folders away; where it raises, nothing is deleted.

        Raises:
            RetortError: the run is queued or running, another active run builds on it, or it does not exist.
        """
        run = self.get(run_id)
        with self._db.write() as db:
            state = db.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
            if state is None or state[0] in ("queued", "running"):
                raise RetortError(f"'{run.name}' has not ended yet.", "Cancel it first, then delete it.")
            orphans = [r[0] for r in db.execute(_ORPHANS, {"id": run_id})]
            user = needs.needed_by(db, run_id, orphans, self._db.folder)
            if user is not None:
                raise RetortError(
                    f"'{user.name}' ({user.id}), which is {user.state}, needs what this run made.",
                    "Wait for its end or cancel it, then delete this one.",
                )
            before_commit(orphans)
            compared = forget_candidates(db, orphans)
            db.executemany("DELETE FROM candidates WHERE key = ?", [(k,) for k in orphans])
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))
        remove_files(self._db.folder, compared)
        return orphans

    def _change(self, sql: str, run_id: str, *, recorded: bool = True, **values: object) -> bool:
        with self._db.write(run=run_id if recorded else None) as db:
            return db.execute(sql, {"id": run_id, "now": time.time(), **values}).rowcount == 1
