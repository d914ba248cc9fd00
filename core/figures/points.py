"""Results as points of a chart: which lie on the front, which tie with it."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.honesty import find
from core.analysis.pareto import statuses
from core.figures.tradeoff import Point
from core.results import Result


def points_of(results: Sequence[Result], x: str, y: str) -> list[Point]:
    """A point for each result that has both metrics, with its standing among the others."""
    pairs = [(r, find(r, x), find(r, y)) for r in results]
    found = [(r, cost, quality) for r, cost, quality in pairs if cost is not None and quality is not None]
    standing = statuses([q for _, _, q in found], [[c for _, c, _ in found]])
    return [
        Point(r.key, r.label, r.method, r.baseline, cost, quality, front=s == "front", tied=s == "tie", parent=r.parent)
        for (r, cost, quality), s in zip(found, standing, strict=True)
    ]
