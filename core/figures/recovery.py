"""What training gave back to a pruned model: an arrow from before to after, and orders that changed with it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from core.figures.theme import Theme
from core.metrics import metric

if TYPE_CHECKING:
    from core.figures.tradeoff import Point

TRAINED = frozenset({"distil", "finetune"})


def recoveries(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """(before, after) for each trained candidate whose parent is among the points."""
    by_key = {p.key: p for p in points}
    return [(by_key[p.parent], p) for p in points if p.method in TRAINED and p.parent in by_key]


def rank_flips(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Pairs of recovered candidates whose order by quality is another one than before: (overtaker, overtaken).

    A pair of equal value, before or after, has no order and is no flip.
    """
    found = []
    for (before_a, after_a), (before_b, after_b) in itertools.combinations(recoveries(points), 2):
        sign = -1.0 if metric(after_a.y.metric).better == "higher" else 1.0
        before = sign * (before_a.y.value - before_b.y.value)
        after = sign * (after_a.y.value - after_b.y.value)
        if before * after < 0:
            found.append((after_a, after_b) if after < 0 else (after_b, after_a))
    return found


def arrows(fig: go.Figure, points: Sequence[Point], ground: Theme, log_x: bool, log_y: bool) -> None:
    """An arrow a recovery, and a label where it overtook another one."""
    pairs = recoveries(points)
    overtakers = {p.key for p, _ in rank_flips(points)}
    for before, after in pairs:
        flips = after.key in overtakers
        fig.add_annotation(
            x=_place(after.x.value, log_x), y=_place(after.y.value, log_y), xref="x", yref="y",
            ax=_place(before.x.value, log_x), ay=_place(before.y.value, log_y), axref="x", ayref="y",
            text="", showarrow=True, arrowhead=2, arrowsize=1.2, arrowwidth=1.8, arrowcolor=ground.ink,
            standoff=9, startstandoff=9, opacity=0.75,
        )  # fmt: skip
        if flips:
            fig.add_annotation(
                x=_place(after.x.value, log_x), y=_place(after.y.value, log_y), text="overtakes", showarrow=False,
                yshift=-20, font={"color": ground.ink, "size": 12},
            )  # fmt: skip
    if pairs:
        fig.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="markers", name="Arrow: training after pruning", hoverinfo="skip",
                marker={"symbol": "arrow-down", "size": 12, "color": ground.ink},
            )
        )  # fmt: skip


def _place(value: float, log: bool) -> float:
    """Where a value lies on an axis: annotations on logarithmic axes are given in powers of ten."""
    return math.log10(value) if log and value > 0 else value
