"""A classifier's classes one by one: what is recognised, and what they are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.analysis.confusion import mistaken
from core.analysis.weak_classes import class_changes, matrix_of
from core.recipe.results import Result

_MATRIX = 12  # classes whose matrix is still read at a glance
_TAKEN_FOR = 3


@dataclass(frozen=True)
class ClassTable:
    """Rows of text: the classes, the one that falls most first; and the confusion matrix of few classes."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    matrix_head: tuple[str, ...] = ()
    matrix: tuple[tuple[str, ...], ...] = ()


def class_table(candidate: Result, baseline: Result | None) -> ClassTable | None:
    """None where nothing was classified."""
    found, known = class_changes(candidate, baseline), matrix_of(candidate)
    if not found or known is None:
        return None
    names, matrix = known
    wrong = _taken_for(names, mistaken(matrix))
    rows = tuple(
        (c.name, f"{c.texts:,}", "" if c.before is None else f"{c.before:,}", f"{c.right:,}", wrong.get(c.name, ""))
        for c in found
    )
    head = ("Class", "Texts", "Right, original", "Right", "Most often taken for")
    if len(names) > _MATRIX:
        return ClassTable(head, rows)
    cells = tuple((name, *(f"{n:,}" for n in row)) for name, row in zip(names, matrix, strict=True))
    return ClassTable(head, rows, ("True class", *names), cells)


def _taken_for(names: Sequence[str], mistakes: Sequence[tuple[int, int, int]]) -> dict[str, str]:
    """By true class, the classes given in its place with how often, the most frequent first."""
    found: dict[str, list[str]] = {}
    for count, right, given in mistakes:
        found.setdefault(names[right], []).append(f"{names[given]} {count:,}")
    return {name: ", ".join(others[:_TAKEN_FOR]) for name, others in found.items()}
