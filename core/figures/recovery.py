"""What training gave back to a pruned model: an arrow from before to after, and orders that changed with it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from core.figures.point import Point
from core.figures.theme import Theme
from core.recipe.results import TRAINED
from core.registry.metrics import metric

MOST = 60
"""Recoveries beyond which arrows would hide the points."""


def recoveries(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """(before, after) for each trained candidate whose parent is among the points."""
    by_key = {p.key: p for p in points}
    return [(by_key[p.parent], p) for p in points if p.method in TRAINED and p.parent in by_key]


def rank_flips(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Pairs of recovered candidates whose order by quality is another one than before: (overtaker, overtaken).

    A pair of equal value, before or after, has no order and is no flip. Of more than `MOST` recoveries none is told.
    """
    found = []
    pairs = recoveries(points)
    if len(pairs) > MOST:
        return []
    for (before_a, after_a), (before_b, after_b) in itertools.combinations(pairs, 2):
        sign = -1.0 if metric(after_a.y.metric).better == "higher" else 1.0
        before = sign * (before_a.y.value - before_b.y.value)
        after = sign * (after_a.y.value - after_b.y.value)
        if before * after < 0:
            found.append((after_a, after_b) if after < 0 else (after_b, after_a))
    return found


def arrows(
    points: Sequence[Point], ground: Theme, log_y: bool
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """An arrow a recovery and a word where it overtook another one, as annotations; and their line of the legend."""
    pairs = recoveries(points)
    if not pairs or len(pairs) > MOST:
        return [], []
    overtakers = {p.key for p, _ in rank_flips(points)}
    drawn: list[dict[str, object]] = []
    for before, after in pairs:
        place = {"x": after.x.value, "y": _place(after.drawn_y, log_y), "xref": "x", "yref": "y"}
        drawn.append(
            {
                **place,
                "ax": before.x.value,
                "ay": _place(before.drawn_y, log_y),
                "axref": "x",
                "ayref": "y",
                "text": "",
                "showarrow": True,
                "arrowhead": 2,
                "arrowsize": 1.2,
                "arrowwidth": 1.8,
                "arrowcolor": ground.ink,
                "standoff": 9,
                "startstandoff": 9,
                "opacity": 0.75,
            }
        )
        if after.key in overtakers:
            font = {"color": ground.ink, "size": 12}
            drawn.append({**place, "text": "overtakes", "showarrow": False, "yshift": -20, "font": font})
    legend: dict[str, object] = {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "name": "Arrow: training after pruning",
        "hoverinfo": "skip",
        "marker": {"symbol": "arrow-down", "size": 12, "color": ground.ink},
    }
    return drawn, [legend]


def _place(value: float, log: bool) -> float:
    """Where a value lies on an axis: annotations on logarithmic axes are given in powers of ten."""
    return math.log10(value) if log and value > 0 else value
