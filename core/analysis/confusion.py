"""Classifiers on the same labelled texts: confusion matrices, paired right and wrong, and changed answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.analysis.differences import p_words
from core.analysis.proportions import paired_share, right_share
from core.analysis.statistics import SIGNIFICANT, Interval, mcnemar_exact, only_one
from core.recipe.results import Result
from core.registry.formatting import change as signed
from core.registry.measurement import find_metric

Matrix = tuple[tuple[int, ...], ...]
"""Counts of texts: the row is the true class, the column the one a model gave."""
READING = ("split", "columns", "classes")
"""Settings of a figure that say how its labelled texts were read (`LabelledSet.reading`)."""
Change = Literal["same", "fixed", "broken", "otherwise wrong"]
"""What became of the first model's answer to a text: the same one, or put right, or spoilt, or wrong in another way."""


@dataclass(frozen=True)
class Judged:
    """One classifier: its counts, and whether each text was classified correctly, in the order of the texts."""

    matrix: Matrix
    right: tuple[bool, ...]
    answers: tuple[int, ...] = ()
    """The class given to each text; empty where only right and wrong are known."""

    @property
    def hits(self) -> int:
        return sum(self.right)

    def accuracy(self) -> Interval:
        """Share of texts classified correctly, with Wilson's 95 % interval."""
        return right_share(self.right)


@dataclass(frozen=True)
class Together:
    """Classifiers on the same texts, the first one being what the others are compared with."""

    data: str
    labels: tuple[str, ...]
    models: tuple[Judged, ...]
    reading: Mapping[str, object] = field(default_factory=dict)
    """How the texts are read, beside what they are called: part, columns, classes."""

    @property
    def items(self) -> int:
        return len(self.models[0].right)

    def paired(self, model: int) -> Paired:
        """A model against the first one, text by text."""
        first, other = self.models[0].right, self.models[model].right
        broken, fixed = only_one(first, other)
        return Paired(fixed, broken, mcnemar_exact(fixed, broken), self.items)


@dataclass(frozen=True)
class Paired:
    """Texts only the other model gets right (`fixed`), only the first (`broken`), McNemar's exact p, and all texts."""

    fixed: int
    broken: int
    p: float
    items: int

    def sentence(self) -> str:
        """'7 fixed, 14 broken (McNemar p = 0.19; change −0.075 to +0.012): no difference beyond the error.'"""
        if self.p >= SIGNIFICANT:
            claim = "no difference beyond the error"
        else:
            claim = "better than the first" if self.fixed > self.broken else "worse than the first"
        _, *ends = paired_share(self.fixed, self.broken, self.items)
        known = " to ".join(signed("accuracy", end) for end in ends)
        return f"{self.fixed:,} fixed, {self.broken:,} broken (McNemar {p_words(self.p)}; change {known}): {claim}."


def counts(gold: Sequence[int], predicted: Sequence[int], classes: int) -> Matrix:
    """How often each true class was given each answer. Raises ValueError for unequal lengths."""
    rows = [[0] * classes for _ in range(classes)]
    for right, answer in zip(gold, predicted, strict=True):
        rows[right][answer] += 1
    return tuple(tuple(row) for row in rows)


def judged(gold: Sequence[int], predicted: Sequence[int], classes: int) -> Judged:
    """A classifier from its answers."""
    right = tuple(a == b for a, b in zip(gold, predicted, strict=True))
    return Judged(counts(gold, predicted, classes), right, tuple(predicted))


def row_shares(matrix: Matrix) -> list[list[float | None]]:
    """Each count as a share of its true class; None in the row of a class that does not occur."""
    return [[n / sum(row) if sum(row) else None for n in row] for row in matrix]


def change(gold: int, first: int, other: int) -> Change:
    """What another model made of the first one's answer to one text."""
    if first == other:
        return "same"
    if other == gold:
        return "fixed"
    return "broken" if first == gold else "otherwise wrong"


def mistaken(matrix: Matrix) -> list[tuple[int, int, int]]:
    """(texts, true class, class given) of every confusion that occurs, the most frequent first."""
    found = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j]
    return sorted(found, key=lambda f: (-f[0], f[1], f[2]))


def stored(results: Sequence[Result | None]) -> Together | None:
    """What the runs themselves measured; None unless all of them did so, on the same texts and classes."""
    found = [_stored(r) for r in results]
    if not found or any(f is None for f in found):
        return None
    first, *others = [f for f in found if f is not None]
    known = [*first[1]]
    models = [first[2]]
    for data, labels, one in others:
        if data != first[0] or sorted(labels) != sorted(known) or len(one.right) != len(models[0].right):
            return None
        models.append(_renumbered(one, [labels.index(name) for name in known]))
    dense = find_metric(results[0].measurements, "f1") if results[0] else None
    reading = {k: v for k, v in dense.settings.items() if k in READING} if dense else {}
    return Together(first[0], first[1], tuple(models), reading)


def _renumbered(one: Judged, order: list[int]) -> Judged:
    """The same with class `order[i]` called i."""
    matrix = tuple(tuple(one.matrix[i][j] for j in order) for i in order)
    return Judged(matrix, one.right, tuple(order.index(a) for a in one.answers))


def _stored(result: Result | None) -> tuple[str, tuple[str, ...], Judged] | None:
    if result is None:
        return None
    accuracy, f1 = (find_metric(result.measurements, m) for m in ("accuracy", "f1"))
    if accuracy is None or f1 is None or not accuracy.samples or "confusion" not in f1.settings:
        return None
    labels = tuple(str(name) for name in f1.settings.get("labels", ()))
    matrix: Matrix = tuple(tuple(int(n) for n in row) for row in f1.settings["confusion"])
    right = tuple(s > 0.5 for s in accuracy.samples)
    whole = sum(map(sum, matrix)) == len(right) and len(set(labels)) == len(labels) == len(matrix)
    if not whole or sum(matrix[i][i] for i in range(len(matrix))) != sum(right):
        return None  # not counts of these texts: nothing is claimed from them
    answers = tuple(int(a) for a in f1.settings.get("answers", ()) if 0 <= int(a) < len(labels))
    kept = answers if len(answers) == len(right) else ()
    return str(accuracy.settings.get("corpus", "")), labels, Judged(matrix, right, kept)
