"""The chart Retort is about: quality against a cost, with the front, the ties and the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.figures.axes import axis
from core.figures.recovery import arrows
from core.figures.theme import MethodStyle, Theme, figure, method_style, safe
from core.metrics import Measurement, metric, show

SIZE = 13
_MANY = 400  # points beyond which error bars are drawn for the front only, and WebGL takes over


@dataclass(frozen=True)
class Point:
    """A candidate on the chart. `tied`: not on the front, but not beyond the error of it either."""

    key: str
    label: str
    method: str
    baseline: bool
    x: Measurement
    y: Measurement
    front: bool = False
    tied: bool = False
    parent: str | None = None
    """Key of the candidate this one was made from."""

    @property
    def estimated(self) -> bool:
        return "estimated" in (self.x.obtained, self.y.obtained)

    @property
    def drawable(self) -> bool:
        return math.isfinite(self.x.value) and math.isfinite(self.y.value)


def clipped(points: Sequence[Point], y_limit: float | None) -> list[Point]:
    """The points the chart cannot show: beyond `y_limit`, infinite or not a number."""
    return [p for p in points if not p.drawable or (y_limit is not None and p.y.value > y_limit)]


def tradeoff(
    points: Sequence[Point],
    ground: Theme,
    *,
    picked: Mapping[str, str] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    y_limit: float | None = None,
    height: int = 520,
) -> go.Figure:
    """Quality (y) against cost (x), one shape and colour a method.

    Args:
        points: candidates, all with the same two metrics; the baseline among them.
        picked: key -> letter of the candidates that are ringed.
        y_limit: points above it are left out (see `clipped`).
    Returns:
        The figure; each point carries its key in `customdata`.
    """
    fig = figure(ground, height)
    hidden = {p.key for p in clipped(points, y_limit)}
    shown = [p for p in points if p.key not in hidden]
    if not shown:
        return fig
    baseline = next((p for p in shown if p.baseline), None)
    if baseline is not None:
        _guides(fig, baseline, ground)
    others = [p for p in shown if not p.baseline]
    many = len(others) > _MANY
    for method_id in dict.fromkeys(p.method for p in others):
        _method(fig, [p for p in others if p.method == method_id], ground, many)
    if baseline is not None:
        _star(fig, baseline, ground)
    _front(fig, shown, ground)
    arrows(fig, shown, ground, log_x, log_y)
    _rings(fig, shown, picked or {}, ground)
    _legend_notes(fig, shown, ground)
    fig.update_xaxes(axis([p.x for p in shown], log_x))
    fig.update_yaxes(axis([p.y for p in shown], log_y))
    fig.update_layout(
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"},
        clickmode="event+select",
        margin={"l": 8, "r": 56, "t": 8, "b": 8},
    )
    return fig


def alt(points: Sequence[Point], y_limit: float | None = None) -> str:
    """The chart in words, for those who do not see it."""
    if not points:
        return "A chart without points."
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    hidden = clipped(points, y_limit)
    said = [f"Scatter chart of {y.label.lower()} against {x.label.lower()} for {len(points)} models."]
    dense = next((p for p in points if p.baseline), None)
    if dense is not None:
        said.append(f"Dense baseline: {_pair(dense)}.")
    front = [p for p in points if p.front and not p.baseline]
    if front:
        said.append("On the Pareto front: " + "; ".join(f"{p.label}, {_pair(p)}" for p in front[:8]) + ".")
    if hidden:
        said.append(f"{len(hidden)} not drawn.")
    return " ".join(said)


def _pair(p: Point) -> str:
    return f"{show(p.y.metric, p.y.value)} at {show(p.x.metric, p.x.value)}"


def _hover(p: Point) -> str:
    """Escaped lines: plotly renders a part of HTML, and labels come from recipes."""
    lines = [f"<b>{safe(p.label)}</b>"]
    for m in (p.y, p.x):
        spread = ""
        if m.low is not None and m.high is not None and m.high > m.low:
            spread = f" ({show(m.metric, m.low)} to {show(m.metric, m.high)})"
        obtained = " <i>estimated</i>" if m.obtained == "estimated" else ""
        lines.append(f"{metric(m.metric).label}: {show(m.metric, m.value)}{spread}{obtained}")
    if p.front:
        lines.append("On the Pareto front")
    elif p.tied:
        lines.append("Tied with the front: the difference is inside the error")
    return "<br>".join(lines)


def symbol(style: MethodStyle, p: Point) -> str:
    """Hollow: a tie. Dotted centre: estimated. Both are told in the legend and on hover."""
    return style.symbol + ("-open" if p.tied else "") + ("-dot" if p.estimated else "")


def _method(fig: go.Figure, points: list[Point], ground: Theme, many: bool) -> None:
    style = method_style(points[0].method)
    color = ground.color(style.color)
    scatter = go.Scattergl if many else go.Scatter
    _legend(fig, safe(style.label), style.symbol, color, ground.edge(style.color), points[0].method)
    bars = [p.front or not many for p in points]
    fig.add_trace(
        scatter(
            x=[p.x.value for p in points],
            y=[p.y.value for p in points],
            error_x=_errors([p.x for p in points], bars, color),
            error_y=_errors([p.y for p in points], bars, color),
            mode="markers",
            name=safe(style.label),
            legendgroup=points[0].method,
            showlegend=False,
            marker={
                "symbol": [symbol(style, p) for p in points],
                "size": SIZE,
                "color": color,
                "line": {"width": 1.5, "color": [color if p.tied else ground.edge(style.color) for p in points]},
            },
            customdata=[p.key for p in points],
            hovertext=[_hover(p) for p in points],
            hoverinfo="text",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    )


def _errors(values: list[Measurement], drawn: list[bool], color: str) -> dict[str, object]:
    """Asymmetric error bars; zero where there is no interval, so that nothing is suggested."""
    up = [_gap(m.high, m.value) if d else 0.0 for m, d in zip(values, drawn, strict=True)]
    down = [_gap(m.value, m.low) if d else 0.0 for m, d in zip(values, drawn, strict=True)]
    visible = any(up) or any(down)
    return {
        "type": "data", "array": up, "arrayminus": down, "symmetric": False, "visible": visible,
        "color": color, "thickness": 1, "width": 3,
    }  # fmt: skip


def _gap(upper: float | None, lower: float | None) -> float:
    if upper is None or lower is None or not (math.isfinite(upper) and math.isfinite(lower)):
        return 0.0
    return max(0.0, upper - lower)


def _star(fig: go.Figure, p: Point, ground: Theme) -> None:
    fig.add_trace(
        go.Scatter(
            x=[p.x.value], y=[p.y.value],
            error_x=_errors([p.x], [True], ground.ink), error_y=_errors([p.y], [True], ground.ink),
            mode="markers+text", cliponaxis=False, text=["Dense"], textposition="bottom left",
            textfont={"color": ground.ink, "size": 13},
            name="Dense baseline",
            marker={"symbol": "star", "size": SIZE + 6, "color": ground.ink},
            customdata=[p.key], hovertext=[_hover(p)], hoverinfo="text",
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )
    )  # fmt: skip


def _guides(fig: go.Figure, baseline: Point, ground: Theme) -> None:
    """Thin lines through the baseline: left of one is cheaper, below the other is better."""
    line = {"color": ground.muted, "width": 1, "dash": "dot"}
    fig.add_vline(x=baseline.x.value, line=line, layer="below", opacity=0.6)
    fig.add_hline(y=baseline.y.value, line=line, layer="below", opacity=0.6)


def _front(fig: go.Figure, points: list[Point], ground: Theme) -> None:
    """The staircase of what is reachable: at each cost, the best quality of the points up to it."""
    front = sorted((p for p in points if p.front), key=lambda p: (p.x.value, p.y.value))
    if len(front) < 2:
        return
    better = metric(front[0].x.metric).better
    fig.add_trace(
        go.Scatter(
            x=[p.x.value for p in front], y=[p.y.value for p in front],
            mode="lines", name="Pareto front", hoverinfo="skip", zorder=-1,
            line={"color": ground.muted, "width": 2, "shape": "hv" if better == "lower" else "vh"},
        )
    )  # fmt: skip


def _rings(fig: go.Figure, points: list[Point], picked: Mapping[str, str], ground: Theme) -> None:
    ringed = [p for p in points if p.key in picked]
    if not ringed:
        return
    fig.add_trace(
        go.Scatter(
            x=[p.x.value for p in ringed], y=[p.y.value for p in ringed],
            mode="markers+text", cliponaxis=False, text=[picked[p.key] for p in ringed], textposition="top right",
            textfont={"color": ground.ink, "size": 15, "weight": 700},
            marker={"symbol": "circle-open", "size": SIZE + 12, "color": ground.ink, "line": {"width": 2}},
            name="Selected", hoverinfo="skip", customdata=[p.key for p in ringed],
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        )
    )  # fmt: skip


def _legend_notes(fig: go.Figure, points: list[Point], ground: Theme) -> None:
    """Legend lines that explain the shapes in use, without data."""
    notes = []
    if any(p.tied for p in points):
        notes.append(("circle-open", "Hollow: a tie with the front"))
    if any(p.estimated for p in points):
        notes.append(("circle-open-dot", "Dot inside: estimated"))
    for shape, text in notes:
        _legend(fig, text, shape, ground.muted, ground.muted, text)


def _legend(fig: go.Figure, name: str, shape: str, color: str, edge: str, group: str) -> None:
    """A legend line of its own, so that it shows the plain shape whatever the first point looks like."""
    fig.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="markers", name=name, legendgroup=group, hoverinfo="skip",
            marker={"symbol": shape, "size": SIZE, "color": color, "line": {"width": 1.5, "color": edge}},
        )
    )  # fmt: skip
