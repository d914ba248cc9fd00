"""Limits on a trade-off chart: what is outside them is shaded and lined, the best inside is ringed and named."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.analysis.limits import Outcome
from core.figures.theme import Theme
from core.figures.tradeoff import SIZE, Point
from core.metrics import metric


def draw_limits(
    fig: go.Figure, points: Sequence[Point], x_limit: float | None, y_limit: float | None, found: Outcome, ground: Theme
) -> None:
    """Adds shading, lines and the ring to a chart made by `tradeoff`; limits in the metrics' own units."""
    if not points:
        return
    for name, limit, measured in (("x", x_limit, points[0].x.metric), ("y", y_limit, points[0].y.metric)):
        if limit is not None:
            _outside(fig, name, limit, metric(measured).better == "lower", ground)
    best = next((p for p in points if found.best and p.key == found.best[0]), None)
    if best is not None:
        fig.add_trace(
            go.Scatter(
                x=[best.x.value], y=[best.y.value], mode="markers+text", cliponaxis=False, hoverinfo="skip",
                text=["Best within limits"], textposition="bottom center", name="Best within the limits",
                textfont={"color": ground.ink, "size": 13},
                marker={"symbol": "diamond-wide-open", "size": SIZE + 18, "color": ground.ink, "line": {"width": 2}},
                customdata=[best.key], selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            )
        )  # fmt: skip


def _outside(fig: go.Figure, name: str, limit: float, lower_is_better: bool, ground: Theme) -> None:
    """Shades from the limit to the end of the axis on its worse side."""
    axis = fig.layout[f"{name}axis"]
    low, high = axis.range
    if axis.type == "log":
        low, high = 10.0**low, 10.0**high
    start, end = (max(limit, low), high) if lower_is_better else (low, min(limit, high))
    if start >= end:
        return
    draw, line = (fig.add_vrect, fig.add_vline) if name == "x" else (fig.add_hrect, fig.add_hline)
    draw(**{f"{name}0": start, f"{name}1": end}, fillcolor=ground.muted, opacity=0.14, line_width=0, layer="below")
    if low < limit < high:
        line(**{name: limit}, line={"color": ground.ink, "width": 1.5, "dash": "dash"}, layer="below")
