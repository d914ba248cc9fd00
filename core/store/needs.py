"""Which active run needs what a run made: asked before it is deleted, in the same transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from core.base.errors import RetortError


class Needing(NamedTuple):
    """A run that is queued or running."""

    id: str
    name: str
    state: str


def references(recipe: object) -> Iterator[str]:
    """Every text in a recipe, at any depth, that refers to a run or to a place on the disk: models, teachers, data."""
    if isinstance(recipe, str):
        if recipe.strip().startswith(("run:", "path:")):
            yield recipe.strip()
    elif isinstance(recipe, dict):
        for value in recipe.values():
            yield from references(value)
    elif isinstance(recipe, list | tuple):
        for value in recipe:
            yield from references(value)


def needed_by(db: sqlite3.Connection, run_id: str, orphans: Iterable[str], home: Path) -> Needing | None:
    """The first active run, other than `run_id`, that starts from this run, or from what would be deleted with it.

    Args:
        orphans: keys of the candidates that no other run has.
    """
    keys = set(orphans)
    folders = [home / "runs" / run_id, *(home / "candidates" / key for key in keys)]
    rows = db.execute(
        "SELECT id, name, state, model, recipe FROM runs WHERE state IN ('queued', 'running') AND id <> ? ORDER BY seq",
        (run_id,),
    )
    for row in rows:
        for reference in {*references(row["model"]), *references(json.loads(row["recipe"]))}:
            if _points_into(reference, run_id, keys, folders):
                return Needing(row["id"], row["name"], row["state"])
    return None


def refuse_missing(db: sqlite3.Connection, recipe: object) -> None:
    """Refuses a recipe that starts from a run which is not there, perhaps since a moment ago.

    Raises:
        RetortError: naming it.
    """
    for reference in references(recipe):
        first, _, rest = reference.removeprefix("run:").partition("/")
        if reference.startswith("path:"):
            continue
        found = db.execute(
            "SELECT 1 FROM runs WHERE id = ? UNION SELECT 1 FROM candidates WHERE key IN (?, ?) LIMIT 1",
            (first, first, rest),
        ).fetchone()
        if found is None:
            raise RetortError(
                f"There is no run and no candidate '{reference}': it was deleted, or never was here.",
                "Choose another model or teacher, then start again.",
            )


def _points_into(reference: str, run_id: str, keys: set[str], folders: list[Path]) -> bool:
    kind, _, name = reference.partition(":")
    if kind == "run":
        first, _, rest = name.partition("/")
        return first == run_id or (rest or first) in keys
    try:
        place = Path(name).expanduser().resolve()
        return any(place.is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):
        return False
