"""Candidates: a folder each, addressed by what determined it; the tables only index them."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.base.durable_files import move
from core.base.errors import RetortError
from core.base.integrity import write_sealed
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.store import result_files
from core.store.connection import Database
from core.store.indexing import index_result
from core.store.problems import plain_errors
from core.store.rows import CandidateRow, measurement

_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Candidates:
    """The folder of candidates, and its index."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db = database
        self._folder = folder

    def folder(self, key: str) -> Path:
        """`home/candidates/KEY`: `result.json`, and `model/` where the model is kept.

        Raises:
            RetortError: the key, perhaps from a URL, is none.
        """
        if not _KEY.fullmatch(key):
            raise RetortError("That is not the key of a candidate.", "Choose a candidate on the Trade-offs page.")
        return self._folder / key

    def add(self, result: Result) -> None:
        """Makes a result durable (file first, then index). Adding it again changes nothing."""
        path = self.folder(result.key) / "result.json"
        with plain_errors(self._folder):
            text = result_files.dump(result)
            if not path.exists() or path.read_bytes() != text.encode():
                write_sealed(path, text)
        self._index([result])

    def get(self, key: str) -> Result | None:
        """The result with this key, or None. A file the index has lost is found and indexed again."""
        rows = self._db.read("SELECT result FROM candidates WHERE key = ?", (key,))
        if rows:
            return Result.model_validate_json(rows[0][0])
        result = result_files.read(self.folder(key) / "result.json")
        if result is not None and not self._db.read_only:
            self._index([result])
        return result

    def results(self, *, run_id: str | None = None, keys: Sequence[str] | None = None) -> list[Result]:
        """Full results with samples: of a run (in trial order), of keys (in their order), or all (newest last)."""
        columns = "candidates.result"
        if keys is not None:
            found = {r["key"]: r["result"] for r in self._select(f"candidates.key, {columns}", None, keys)}
            return [Result.model_validate_json(found[k]) for k in dict.fromkeys(keys) if k in found]
        return [Result.model_validate_json(r["result"]) for r in self._select(columns, run_id, None)]

    def rows(
        self,
        *,
        run_id: str | None = None,
        saved: bool | None = None,
        model: str | None = None,
    ) -> list[CandidateRow]:
        """The same candidates without samples and notes, much faster: for tables and charts.

        `saved`: only those whose model is kept, or is not. `model`: only those made from this reference.
        """
        heads = self._select(
            "candidates.key, label, model, method, baseline, baseline_key, saved, created", run_id, None
        )
        if saved is not None:
            heads = [h for h in heads if bool(h["saved"]) == saved]
        if model is not None:
            heads = [h for h in heads if h["model"] == model]
        measured: dict[str, list[Measurement]] = {h["key"]: [] for h in heads}
        for row in self._db.read(
            "SELECT * FROM measurements WHERE candidate IN (SELECT value FROM json_each(?))"
            " ORDER BY candidate, position",
            (json.dumps(list(measured)),),
        ):
            measured[row["candidate"]].append(measurement(row))
        return [_candidate(h, measured[h["key"]]) for h in heads]

    def runs_of(self, key: str) -> list[str]:
        """Ids of the runs that have a trial with this key, oldest first."""
        sql = "SELECT DISTINCT runs.id FROM trials JOIN runs ON runs.id = trials.run WHERE key = ? ORDER BY runs.seq"
        return [r[0] for r in self._db.read(sql, (key,))]

    def names(self, references: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Of `run:KEY` and `run:RUN/KEY` the candidate's label and the model it was made from; of `run:RUN` its name.

        Those that are not here, and other kinds of references, are left out.
        """
        found = {}
        for reference in references:
            if not reference.startswith("run:"):
                continue
            key = reference.removeprefix("run:").rpartition("/")[2]
            rows = self._db.read(
                "SELECT label, model FROM candidates WHERE key = ? UNION ALL SELECT name, '' FROM runs WHERE id = ?",
                (key, key),
            )
            if rows:
                found[reference] = str(rows[0][0]), str(rows[0][1])
        return found

    def reindex(self) -> int:
        """Indexes result files the database does not know, drops nothing; returns how many it found.

        A worker killed between writing a result and indexing it loses nothing this way, and neither does
        a database that was lost. A damaged file is logged and left out.
        """
        known = {r[0] for r in self._db.read("SELECT key FROM candidates")}
        with plain_errors(self._folder):
            names = [p.parent.name for p in self._folder.glob("*/result.json")]
        lost = [self._folder / n / "result.json" for n in names if n not in known and _KEY.fullmatch(n)]
        found = [r for r in map(result_files.read, sorted(lost, key=result_files.written)) if r is not None]
        self._index(found)
        return len(found)

    def move_away(self, keys: Iterable[str], trash: Path) -> None:
        """Moves folders of candidates into `trash` (a rename: at once, however large they are)."""
        with plain_errors(self._folder):
            for key in keys:
                if self.folder(key).exists():
                    move(self.folder(key), trash / f"{key}-{time.time_ns()}")

    def _select(self, columns: str, run_id: str | None, keys: Sequence[str] | None) -> list[sqlite3.Row]:
        if keys is not None:
            sql = f"SELECT {columns} FROM candidates WHERE key IN (SELECT value FROM json_each(?)) ORDER BY seq"
            return self._db.read(sql, (json.dumps(list(keys)),))
        if run_id is None:
            return self._db.read(f"SELECT {columns} FROM candidates ORDER BY seq")
        sql = (
            f"SELECT {columns.replace('label', 'candidates.label')} FROM trials"
            " JOIN candidates ON candidates.key = trials.key WHERE trials.run = ? ORDER BY trials.position"
        )
        return self._db.read(sql, (run_id,))

    def _index(self, results: list[Result]) -> None:
        if not results:
            return
        with self._db.write() as db:
            for r in results:
                index_result(db, r, result_files.written(self.folder(r.key) / "result.json"))


def _candidate(head: sqlite3.Row, measurements: list[Measurement]) -> CandidateRow:
    values = dict(head)
    values |= {"baseline": bool(head["baseline"]), "saved": bool(head["saved"])}
    return CandidateRow(**values, measurements=tuple(measurements))


def empty(trash: Path) -> None:
    """Removes what `move_away` put aside."""
    shutil.rmtree(trash, ignore_errors=True)
