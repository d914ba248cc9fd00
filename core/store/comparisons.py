"""Saved comparisons: a sealed file each, named by what determined it; the tables only index them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from core.base.integrity import write_sealed
from core.recipe.comparisons import Comparison, Kind, is_id
from core.store.comparison_files import index_comparison, path_of, remove_files
from core.store.connection import Database


class Saved(NamedTuple):
    """A comparison without what it found."""

    id: str
    kind: Kind
    models: tuple[str, ...]
    title: str
    settings: dict[str, object]
    created: float
    made_by: str


class Comparisons:
    """The folder of saved comparisons, and its index."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, comparison: Comparison) -> Comparison:
        """Saves it, in place of a former one of the same models and settings; returns it with its time."""
        saved = comparison.model_copy(update={"created": comparison.created or time.time()})
        with self._db.write() as db:
            write_sealed(path_of(self._db.folder, saved.id), saved.model_dump_json())
            index_comparison(db, saved)
        return saved

    def get(self, comparison_id: str) -> Comparison | None:
        """The comparison with this id, which may come from an address; None where there is none."""
        if not is_id(comparison_id):
            return None
        rows = self._db.read("SELECT body FROM comparisons WHERE id = ?", (comparison_id,))
        return Comparison.model_validate_json(rows[0][0]) if rows else None

    def find(self, models: Sequence[str] | None = None, *, candidate: str | None = None) -> list[Saved]:
        """Those of exactly these models in this order, or with this candidate among them; newest first."""
        where, values = "", ()  # type: tuple[str, tuple[str, ...]]
        if models is not None:
            where, values = "WHERE models = ?", (json.dumps(list(models)),)
        elif candidate is not None:
            where, values = "WHERE id IN (SELECT comparison FROM compared WHERE candidate = ?)", (candidate,)
        rows = self._db.read(
            "SELECT id, kind, models, title, settings, created, made_by FROM comparisons"
            f" {where} ORDER BY created DESC, id",
            values,
        )
        return [Saved(r[0], r[1], tuple(json.loads(r[2])), r[3], json.loads(r[4]), float(r[5]), r[6]) for r in rows]

    def remove(self, comparison_id: str) -> None:
        """Deletes it; one that is not there is deleted already."""
        if is_id(comparison_id):
            with self._db.write() as db:
                db.execute("DELETE FROM comparisons WHERE id = ?", (comparison_id,))
            remove_files(self._db.folder, [comparison_id])
