"""Candidates of runs by column, for charts of thousands: results stay unparsed, and what is unchanged is not read."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from array import array
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from core.registry.measurement import Measurement
from core.registry.metrics import metric
from core.store.connection import Database
from core.store.problems import plain_errors
from core.store.rows import Head, Judgement

_REMEMBERED = 256
"""Sets of runs whose version is remembered."""


class Columns:
    """Reads from covering indices. A candidate that several of the runs share counts once, where it comes first."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._lock = threading.Lock()
        self._watch: tuple[int, int | None, int, sqlite3.Connection] | None = None
        self._versions: dict[tuple[str, ...], tuple[int, str]] = {}

    def heads(self, run_id: str) -> list[Head]:
        """The candidates of a run, in the order of its trials."""
        rows = self._db.read(
            "SELECT c.key, c.label, c.model, c.method, c.baseline, c.baseline_key, c.saved FROM trials"
            " JOIN candidates AS c INDEXED BY candidates_light ON c.key = trials.key"
            " WHERE trials.run = ? ORDER BY trials.position",
            (run_id,),
        )
        return [Head(k, label, m, how, bool(base), of, bool(saved)) for k, label, m, how, base, of, saved in rows]

    def metrics(self, run_id: str) -> set[str]:
        """Ids of everything measured on a candidate of a run."""
        rows = self._db.read(
            "SELECT DISTINCT m.metric FROM trials JOIN measurements AS m INDEXED BY measurements_light"
            " ON m.candidate = trials.key WHERE trials.run = ?",
            (run_id,),
        )
        return {r[0] for r in rows}

    def values(self, run_id: str, metric_id: str) -> dict[str, Measurement]:
        """One figure of every candidate of a run that has it, by key: value, bounds and how it was obtained."""
        unit = metric(metric_id).unit
        rows = self._db.read(
            "SELECT m.candidate, m.value, m.low, m.high, m.obtained FROM trials"
            " JOIN measurements AS m INDEXED BY measurements_light ON m.candidate = trials.key AND m.metric = ?"
            " WHERE trials.run = ?",
            (metric_id, run_id),
        )
        return {
            key: Measurement.model_construct(
                metric=metric_id, unit=unit, value=_number(value), low=low, high=high, obtained=obtained
            )
            for key, value, low, high, obtained in rows
        }

    def timed(self, run_id: str, metric_id: str) -> dict[str, Measurement]:
        """The same with device and settings, where a time says what was timed beside it; without samples."""
        rows = self._db.read(
            "SELECT m.candidate, m.value, m.low, m.high, m.unit, m.obtained, m.device, m.dtype, m.settings FROM trials"
            " JOIN measurements AS m INDEXED BY measurements_light ON m.candidate = trials.key AND m.metric = ?"
            " WHERE trials.run = ?",
            (metric_id, run_id),
        )
        return {
            key: Measurement.model_construct(
                metric=metric_id,
                value=_number(value),
                low=low,
                high=high,
                unit=unit,
                obtained=obtained,
                device=device,
                dtype=dtype,
                settings=_parsed(settings),
                samples=None,
            )
            for key, value, low, high, unit, obtained, device, dtype, settings in rows
        }

    def judged(self, run_id: str, metric_id: str) -> dict[str, Measurement]:
        """The same with device, settings and samples, so that candidates can be compared in pairs."""
        rows = self._db.read(
            "SELECT m.*, s.numbers FROM trials"
            " JOIN measurements AS m INDEXED BY measurements_light ON m.candidate = trials.key AND m.metric = ?"
            " LEFT JOIN samples AS s ON s.candidate = m.candidate AND s.metric = m.metric WHERE trials.run = ?",
            (metric_id, run_id),
        )
        told: dict[str, dict[str, Any]] = {}  # most candidates share their settings
        found = {}
        for row in rows:
            text = row["settings"]
            if text not in told:
                told[text] = json.loads(text)
            samples = None if row["numbers"] is None else array("d", row["numbers"]).tolist()
            if samples is None and "samples" in told[text]:
                samples = self._samples(row["candidate"], metric_id)
            found[row["candidate"]] = Measurement.model_construct(
                **{k: row[k] for k in ("metric", "unit", "low", "high", "obtained", "device", "dtype")},
                value=_number(row["value"]),
                settings=told[text],
                samples=samples,
            )
        return found

    def judgements(self, run_ids: Sequence[str]) -> list[Judgement]:
        """Quality and file size of every candidate of these runs, run by run in the order of their trials."""
        rows = self._db.read(
            "SELECT trials.run, c.key, c.label, c.baseline, loss.value, change.value, bytes.value"
            " FROM json_each(?) AS runs JOIN trials ON trials.run = runs.value"
            " JOIN candidates AS c INDEXED BY candidates_light ON c.key = trials.key"
            " LEFT JOIN measurements AS loss INDEXED BY measurements_light"
            "  ON loss.candidate = c.key AND loss.metric = 'loss'"
            " LEFT JOIN measurements AS change INDEXED BY measurements_light"
            "  ON change.candidate = c.key AND change.metric = 'loss_change'"
            " LEFT JOIN measurements AS bytes INDEXED BY measurements_light"
            "  ON bytes.candidate = c.key AND bytes.metric = 'disk_bytes'"
            " ORDER BY runs.key, trials.position",
            (json.dumps(list(run_ids)),),
        )
        return [Judgement(run, key, label, bool(base), *rest) for run, key, label, base, *rest in rows]

    def parents(self, keys: Sequence[str]) -> dict[str, str]:
        """The candidates that these were made from, where they were made from one."""
        sql = "SELECT key, result FROM candidates WHERE key IN (SELECT value FROM json_each(?))"
        found = {key: _parsed(text).get("parent") for key, text in self._db.read(sql, (json.dumps(list(keys)),))}
        return {key: parent for key, parent in found.items() if parent}

    def version(self, run_ids: Sequence[str]) -> str:
        """A text that is another one after any change to the candidates of these runs, and the same until then."""
        ids = tuple(run_ids)
        now = self.state()
        known = self._versions.get(ids)
        if known is not None and known[0] == now:
            return known[1]
        rows = self._db.read(
            "SELECT COUNT(*), TOTAL(c.created), MAX(c.created), TOTAL(c.saved) FROM json_each(?) AS runs"
            " JOIN trials ON trials.run = runs.value"
            " JOIN candidates AS c INDEXED BY candidates_light ON c.key = trials.key",
            (json.dumps(ids),),
        )
        found = ",".join(repr(v) for v in rows[0])
        with self._lock:
            if len(self._versions) >= _REMEMBERED:
                self._versions.clear()
            self._versions[ids] = now, found
        return found

    def state(self) -> int:
        """A number that is another one after any change to the store, by this process or another."""
        with self._lock, plain_errors(self._db.folder):
            file = self._db.path.stat().st_ino if self._db.path.exists() else None
            # A forked child may not use its parent's; and the file may have been made again.
            if self._watch is None or self._watch[:2] != (os.getpid(), file):
                connection = sqlite3.connect(
                    f"{self._db.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30
                )
                # Numbers of another watch must not recur.
                self._watch = os.getpid(), file, time.time_ns(), connection
            # It counts what *other* connections commit, and this one writes nothing.
            return self._watch[2] + int(self._watch[3].execute("PRAGMA data_version").fetchone()[0])

    def _samples(self, key: str, metric_id: str) -> list[float] | None:
        """Of a candidate that was indexed before samples had a table of their own."""
        rows = self._db.read("SELECT result FROM candidates WHERE key = ?", (key,))
        measured = _parsed(rows[0][0])["measurements"]
        samples = next((m.get("samples") for m in measured if m["metric"] == metric_id), None)
        return [float(v) for v in samples] if samples else None


def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = from_json(text, allow_inf_nan=True)
    return parsed


def _number(value: float | None) -> float:
    return float("nan") if value is None else value  # what SQLite stores as NULL
