"""Files of saved comparisons, and rows of the index that are made from them."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from core.base.integrity import damage, unseal, write_sealed
from core.base.text import one_line
from core.base.untrusted_files import read_bounded, reason
from core.recipe.comparisons import FILE_BYTES, Comparison
from core.store.problems import plain_errors

log = logging.getLogger("retort")
_FOLDER = "comparisons"


def path_of(home: Path, comparison_id: str) -> Path:
    return home / _FOLDER / f"{comparison_id}.json"


def files_of(home: Path) -> list[Path]:
    """Every file of a comparison, without the notes beside them."""
    return sorted(p for p in home.glob(f"{_FOLDER}/*.json") if not p.name.startswith("."))


def index_comparison(db: sqlite3.Connection, c: Comparison) -> None:
    """Puts a comparison into the tables."""
    db.execute("DELETE FROM comparisons WHERE id = ?", (c.id,))
    db.execute(
        "INSERT INTO comparisons (id, kind, models, title, settings, created, made_by, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            c.id,
            c.kind,
            json.dumps(list(c.models)),
            c.title,
            json.dumps(c.settings),
            c.created,
            c.made_by,
            c.model_dump_json(),
        ),
    )
    db.executemany("INSERT OR IGNORE INTO compared VALUES (?, ?)", [(c.id, k) for k in c.candidates])


def forget_candidates(db: sqlite3.Connection, keys: Sequence[str]) -> list[str]:
    """Deletes, in this transaction, the comparisons that have one of these candidates; returns their ids."""
    found = [
        r[0]
        for r in db.execute(
            "SELECT DISTINCT comparison FROM compared WHERE candidate IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
    ]
    db.executemany("DELETE FROM comparisons WHERE id = ?", [(i,) for i in found])
    return found


def remove_files(home: Path, ids: Sequence[str]) -> None:
    """Removes the files of comparisons that the index has forgotten."""
    with plain_errors(home):
        for path in (path_of(home, i) for i in ids):
            path.unlink(missing_ok=True)
            unseal(path)


def read_comparison(path: Path) -> Comparison | None:
    """A comparison's file; None where it is missing or damaged (which is logged)."""
    try:
        wrong = damage(path) if path.exists() else None
        if wrong is not None:
            raise ValueError(wrong)
        found = Comparison.model_validate_json(read_bounded(path, FILE_BYTES))
        if found.id != path.stem:
            raise ValueError("it is another comparison")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        log.warning("left out %s: %s", one_line(str(path), 300), reason(error))
        return None
    return found


def index_files(db: sqlite3.Connection, home: Path) -> None:
    """Indexes every file whose candidates are still there; comparisons went with the others."""
    known = {r[0] for r in db.execute("SELECT key FROM candidates")}
    for path in files_of(home):
        found = read_comparison(path)
        if found is not None and set(found.candidates) <= known:
            index_comparison(db, found)


def write_missing(db: sqlite3.Connection, home: Path) -> None:
    """Writes the files that are missing or damaged from what the index knows.

    Raises:
        OSError: it cannot be written.
    """
    for comparison_id, body in db.execute("SELECT id, body FROM comparisons").fetchall():
        path = path_of(home, comparison_id)
        if read_comparison(path) is None:
            json.loads(body)  # what is damaged in the index must not be handed on
            write_sealed(path, body)
