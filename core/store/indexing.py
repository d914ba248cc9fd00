"""Rows of the index that are made from files: results into candidates, measurements and samples."""

from __future__ import annotations

import json
import sqlite3
from array import array

from core.recipe.results import Result
from core.store import result_files


def index_result(db: sqlite3.Connection, r: Result, created: float) -> None:
    """Puts a result into the tables, in place of what they know of its key. `created`: when its file was written."""
    db.execute("DELETE FROM measurements WHERE candidate = ?", (r.key,))
    db.execute(
        "INSERT INTO candidates"
        " (key, label, model, method, baseline, baseline_key, saved, result, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET label = excluded.label,"
        " baseline_key = excluded.baseline_key, saved = excluded.saved, result = excluded.result,"
        # Charts are kept until this changes (core/store/columns.py).
        " created = CASE result WHEN excluded.result THEN created ELSE excluded.created END",
        (r.key, r.label, r.model, r.method, r.baseline, r.baseline_key, r.saved, result_files.dump(r), created),
    )
    db.executemany(
        "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (r.key, i, m.metric, m.value, m.unit, m.low, m.high, m.obtained, m.device, m.dtype, json.dumps(m.settings))
            for i, m in enumerate(r.measurements)
        ],
    )
    db.execute("DELETE FROM samples WHERE candidate = ?", (r.key,))
    db.executemany(
        "INSERT OR IGNORE INTO samples VALUES (?, ?, ?)",
        [(r.key, m.metric, array("d", m.samples).tobytes()) for m in r.measurements if m.samples],
    )
