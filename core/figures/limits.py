"""Limits on a trade-off chart: what is outside them is shaded and lined, the recommended one is ringed and named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import plotly.graph_objects as go

from core.analysis.recommendation import Recommendation, bound_on
from core.figures.point import Point
from core.figures.theme import Theme
from core.figures.traces import SIZE, STILL, around, shape
from core.registry.metrics import metric


def draw_decision(
    fig: go.Figure,
    points: Sequence[Point],
    told: Recommendation | None,
    bounds: Mapping[str, float],
    aside: Collection[str],
    ground: Theme,
    y_scale: float = 1.0,
) -> None:
    """The limits of the reader, by metric, or the one that the recommendation rests on; and what it recommends.

    Args:
        y_scale: what the quality of the points was multiplied by, for a chart in another unit.
    """
    if not points:
        return
    y = bounds.get(points[0].y.metric, None if told is None else bound_on(told, points[0].y.metric))
    best = None if told is None or told.best is None else told.best.key
    limits = bounds.get(points[0].x.metric), None if y is None else y * y_scale
    draw_limits(fig, points, *limits, aside, best, ground)


def draw_limits(
    fig: go.Figure,
    points: Sequence[Point],
    x_limit: float | None,
    y_limit: float | None,
    aside: Collection[str],
    recommended: str | None,
    ground: Theme,
) -> None:
    """Adds shading, lines and marks to a chart made by `tradeoff`; limits in the metrics' own units.

    `aside`: keys of what a limit on a figure that is no axis rules out; struck through, as no shading can show it.
    `recommended`: key of the candidate that is named.
    """
    if not points:
        return
    shapes = []
    for name, limit, measured in (("x", x_limit, points[0].x.metric), ("y", y_limit, points[0].y.metric)):
        if limit is not None:
            shapes += _outside(fig, name, limit, metric(measured).better == "lower", ground)
    fig.update_layout(shapes=[*fig.layout.shapes, *shapes])
    out = set(aside)
    struck = [p for p in points if p.key in out]
    best = next((p for p in points if p.key == recommended), None)
    fig.add_traces([*_struck(struck, ground), *_best(best, points, ground)])


def _best(best: Point | None, points: Sequence[Point], ground: Theme) -> list[dict[str, object]]:
    if best is None:
        return []
    middle = (min(p.x.value for p in points) + max(p.x.value for p in points)) / 2
    inwards = "bottom right" if best.x.value < middle else "bottom left"  # a narrow screen would cut the words off
    return [
        {
            "type": "scatter",
            "x": [best.x.value],
            "y": [best.drawn_y],
            "mode": "markers+text",
            "cliponaxis": False,
            "hoverinfo": "skip",
            "text": ["Recommended"],
            "textposition": inwards,
            "name": "Recommended: the smallest within the limit",
            "textfont": {"color": ground.ink, "size": 13},
            "marker": {
                "symbol": "diamond-wide-open",
                "size": SIZE + 18,
                "color": ground.ink,
                "line": {"width": 2},
            },
            "customdata": [best.key],
            **STILL,
        }
    ]


def _struck(points: Sequence[Point], ground: Theme) -> list[dict[str, object]]:
    """A stroke through every point; clicks go to the point below it, so it carries the same key."""
    marker = {"symbol": "line-ne-open", "size": SIZE + 6, "color": ground.ink, "line": {"width": 1.5}}
    return around(points, "Struck through: beyond a limit", marker)


def _outside(fig: go.Figure, name: str, limit: float, lower_is_better: bool, ground: Theme) -> list[dict[str, object]]:
    """Shades from the limit to the end of the axis on its worse side."""
    axis = fig.layout[f"{name}axis"]
    if axis.range is None:
        return []
    low, high = axis.range
    if axis.type == "log":
        low, high = 10.0**low, 10.0**high
    start, end = (max(limit, low), high) if lower_is_better else (low, min(limit, high))
    if start >= end:
        return []
    drawn = [shape("rect", name, start, end, fillcolor=ground.muted, opacity=0.14, line={"width": 0})]
    if low < limit < high:
        drawn.append(shape("line", name, limit, limit, line={"color": ground.ink, "width": 1.5, "dash": "dash"}))
    return drawn
