"""Whether the index and the folders say the same: for `home check`, which repairs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.base import line_files
from core.recipe.comparisons import Comparison
from core.recipe.records import RECORD, read_record
from core.recipe.results import Result
from core.store import comparison_files, result_files
from core.store.connection import Database
from core.store.folders import EVENTS, SERIES, VOTES, record_of

_PROGRESS = {"done", "total", "message"}
"""Columns that change twice a second, and are not recorded each time."""
_REBUILD = "'python -m core home rebuild' writes the folders and the index anew from what is whole."


class Problem(NamedTuple):
    """Something that is not as it should be: where (inside the home), what, and what to do about it."""

    where: str
    cause: str
    remedy: str


def differences(db: Database) -> Iterator[Problem]:
    """Runs and candidates that only the index or only the folders know, or that they know differently."""
    ids = [r["id"] for r in db.read("SELECT id FROM runs ORDER BY seq")]
    for run_id in ids:
        yield from _run(db, run_id)
    for folder in sorted(p for p in db.runs.glob("*") if (p / RECORD).exists() and p.name not in set(ids)):
        yield Problem(f"runs/{folder.name}", f"The index does not know the run {folder.name}.", _REBUILD)
    keys = {r["key"]: r["result"] for r in db.read("SELECT key, result FROM candidates ORDER BY seq")}
    home = db.folder
    for key, text in keys.items():
        path = home / "candidates" / key / "result.json"
        result = result_files.read(path)
        if result is None:
            yield Problem(f"candidates/{key}", "Its result file is damaged or missing.", _REBUILD)
        elif result_files.dump(result) != result_files.dump(Result.model_validate_json(text)):
            yield Problem(f"candidates/{key}", "Its result file says something else than the index.", _REBUILD)
    for path in sorted(home.glob("candidates/*/result.json")):
        if path.parent.name not in keys:
            where = f"candidates/{path.parent.name}"
            yield Problem(where, "The index does not know this result.", _REBUILD)
    yield from _comparisons(db)
    for path in (home / VOTES, *home.glob(f"runs/*/{EVENTS}"), *home.glob(f"runs/*/{SERIES}")):
        lines = line_files.damaged(path)
        if lines:
            where = str(path.relative_to(home))
            yield Problem(where, f"{lines} of its lines are damaged.", "The index has them still; the rest is whole.")


def _run(db: Database, run_id: str) -> Iterator[Problem]:
    with db.write() as held:  # nobody changes the run between the two looks
        row = held.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            return
        known, record = record_of(held, row), read_record(db.runs / run_id)
    where = f"runs/{run_id}/{RECORD}"
    if record is None:
        missing = "missing" if not Path(db.runs / run_id / RECORD).exists() else "damaged"
        yield Problem(where, f"The record of the run '{row['name']}' is {missing}.", _REBUILD)
        return
    left_out = _PROGRESS if row["state"] in ("queued", "running") else set()
    said = [{k: v for k, v in r.run.items() if k not in left_out} for r in (known, record)]
    if said[0] != said[1] or known.trials != record.trials:
        yield Problem(where, f"The record of the run '{row['name']}' says something else than the index.", _REBUILD)


def _comparisons(db: Database) -> Iterator[Problem]:
    """Saved comparisons that only one side knows. A file left of a deleted one is no harm: nothing reads it."""
    for row in db.read("SELECT id, body FROM comparisons ORDER BY id"):
        found = comparison_files.read_comparison(comparison_files.path_of(db.folder, row["id"]))
        where = f"comparisons/{row['id']}.json"
        if found is None:
            yield Problem(where, "A saved comparison's file is damaged or missing.", _REBUILD)
        elif found != Comparison.model_validate_json(row["body"]):
            yield Problem(where, "A saved comparison's file says something else than the index.", _REBUILD)
