"""Which classes of a classifier suffer most: a mean over all of them hides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.analysis.confusion import Matrix
from core.analysis.promised_vs_measured import Measured, find
from core.registry.measurement import Measurement

SHOWN = 5


@dataclass(frozen=True)
class ClassChange:
    """How many texts of a class are recognised, of how many, and how many the original recognises (None: no original
    with the same classes)."""

    name: str
    right: int
    texts: int
    before: int | None

    @property
    def recall(self) -> float:
        return self.right / self.texts

    @property
    def words(self) -> str:
        """'card acceptance' falls from 30 to 23 of 40 texts."""
        if self.before is None or self.before == self.right:
            return f"'{self.name}' is recognised in {self.right:,} of {self.texts:,} texts"
        way = "falls" if self.right < self.before else "rises"
        return f"'{self.name}' {way} from {self.before:,} to {self.right:,} of {self.texts:,} texts"


def class_changes(candidate: Measured, baseline: Measured | None) -> list[ClassChange]:
    """Every class that occurs, the largest fall first, then the least recognised; none where nothing was classified."""
    mine, dense = _matrix(find(candidate, "f1")), _matrix(find(baseline, "f1") if baseline else None)
    if mine is None:
        return []
    names, matrix = mine
    before: dict[str, tuple[int, int]] = {}
    if dense is not None:
        before = {name: (row[i], sum(row)) for i, (name, row) in enumerate(zip(*dense, strict=True))}
    found = []
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        texts = sum(row)
        earlier = before.get(name)
        same = earlier is not None and earlier[1] == texts
        if texts:
            found.append(ClassChange(name, row[i], texts, earlier[0] if earlier is not None and same else None))
    return sorted(found, key=lambda c: (((c.right - c.before) / c.texts if c.before is not None else 0.0), c.recall))


def weakest(candidate: Measured, baseline: Measured | None) -> list[ClassChange]:
    """The `SHOWN` classes that fall most, or, where none falls, are recognised least."""
    found = class_changes(candidate, baseline)
    falling = [c for c in found if c.before is not None and c.right < c.before]
    return falling[:SHOWN] or sorted(found, key=lambda c: c.recall)[: SHOWN if len(found) > 1 else 0]


def matrix_of(candidate: Measured) -> tuple[tuple[str, ...], Matrix] | None:
    """Classes and confusion matrix of a candidate; None where it has none."""
    return _matrix(find(candidate, "f1"))


def _matrix(f1: Measurement | None) -> tuple[tuple[str, ...], Matrix] | None:
    labels: Sequence[object] = f1.settings.get("labels", ()) if f1 is not None else ()
    rows = f1.settings.get("confusion") if f1 is not None else None
    if not isinstance(rows, list) or not rows or len(rows) != len(labels) or any(len(r) != len(labels) for r in rows):
        return None
    return tuple(map(str, labels)), tuple(tuple(int(n) for n in row) for row in rows)
