"""Candidates as points of a chart: which lie on the front, which tie with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.analysis.candidates import Named
from core.analysis.one_kind import OneKind, one_kind
from core.analysis.paired_times import stray
from core.analysis.pareto import statuses
from core.analysis.promised_vs_measured import find
from core.figures.point import Point
from core.recipe.results import Result
from core.registry.measurement import Measurement


class Placeable(Named, Protocol):
    """A candidate without its figures: a `Result`, or what the store tells of one without reading it whole."""

    @property
    def baseline(self) -> bool: ...


def points_of(results: Sequence[Result], x: str, y: str) -> list[Point]:
    """A point for each result that has both metrics, with its standing among the others.

    Times must have been made comparable: `core.analysis.time_references.aligned`.
    """
    costs = {r.key: m for r in results if (m := find(r, x)) is not None}
    qualities = {r.key: m for r in results if (m := find(r, y)) is not None}
    return placed(results, costs, qualities, {r.key: r.parent for r in results if r.parent})


def placed(
    candidates: Sequence[Placeable],
    costs: Mapping[str, Measurement],
    qualities: Mapping[str, Measurement],
    parents: Mapping[str, str],
) -> list[Point]:
    """A point for each candidate that has both figures; `qualities` with their samples, if they have any.

    A time that cannot be compared is no figure, nor is an energy of the other kind (`drawn_costs`).
    """
    drawn = drawn_costs(candidates, costs, qualities).figures
    here = [c for c in candidates if c.key in drawn]
    standing = statuses([qualities[c.key] for c in here], [[costs[c.key] for c in here]])
    return [
        Point(
            c.key,
            c.label,
            c.method,
            c.baseline,
            costs[c.key],
            qualities[c.key],
            s == "front",
            s == "tie",
            parents.get(c.key),
        )
        for c, s in zip(here, standing, strict=True)
    ]


def drawn_costs(
    candidates: Sequence[Placeable], costs: Mapping[str, Measurement], qualities: Mapping[str, Measurement]
) -> OneKind:
    """The costs that are drawn: of candidates with both figures, comparable, and all measured or all estimated."""
    both = {c.key: m for c in candidates if c.key in qualities and (m := costs.get(c.key)) is not None}
    return one_kind({k: m for k, m in both.items() if not stray(m)})
