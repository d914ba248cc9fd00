"""Results as points of a chart: which lie on the front, which tie with it."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.honesty import find
from core.figures.tradeoff import Point
from core.metrics import metric
from core.results import Result


def points_of(results: Sequence[Result], x: str, y: str) -> list[Point]:
    """A point for each result that has both metrics."""
    points: list[Point] = []
    for r in results:
        mx, my = find(r, x), find(r, y)
        if mx is not None and my is not None:
            points.append(Point(r.key, r.label, r.method, r.baseline, mx, my))
    return points
