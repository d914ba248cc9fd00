"""The marks of a trade-off chart as plotly takes them: plain data, put together once.

Plotly copies and checks what is added to a figure piece by piece, which for thousands of points takes seconds. So
everything here is a dictionary; up to `MANY` points have their own error bars and are drawn as vectors, more are
arrays of one shape each, drawn by WebGL.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from core.analysis.paired_times import busy, hints
from core.analysis.removed import REMOVED
from core.figures.point import Point
from core.figures.theme import MethodStyle, Theme, method_style, safe
from core.registry.formatting import in_full
from core.registry.metrics import metric

SIZE = 13
MANY = 400
"""Points beyond which error bars are drawn for the front only, and WebGL takes over."""

Trace = dict[str, object]
STILL = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}


def methods(points: Sequence[Point], ground: Theme) -> list[Trace]:
    """The candidates, a legend line a method first."""
    many = len(points) > MANY
    traces: list[Trace] = []
    fronts: list[Trace] = []
    for method_id, group in itertools.groupby(sorted(points, key=_order(points)), key=lambda p: p.method):
        members, style = list(group), method_style(method_id)
        traces.append(
            legend(safe(style.label), style.symbol, ground.color(style.color), ground.edge(style.color), method_id)
        )
        if not many:
            traces.append(_vectors(members, style, ground))
            continue
        rest = [p for p in members if not p.front]
        by_symbol: dict[str, list[Point]] = {}
        for p in rest:
            by_symbol.setdefault(symbol(style, p), []).append(p)
        traces += [_pixels(found, shape, style, ground) for shape, found in by_symbol.items()]
        if len(rest) < len(members):
            fronts.append(_vectors([p for p in members if p.front], style, ground))
    return traces + fronts


def _order(points: Iterable[Point]) -> Callable[[Point], int]:
    place = {m: i for i, m in enumerate(dict.fromkeys(p.method for p in points))}
    return lambda p: place[p.method]


def symbol(style: MethodStyle, p: Point) -> str:
    """Hollow: a tie. Dotted centre: estimated. Both are told in the legend and on hover."""
    return style.symbol + ("-open" if p.tied else "") + ("-dot" if p.estimated else "")


def _vectors(points: Sequence[Point], style: MethodStyle, ground: Theme) -> Trace:
    """Candidates with error bars and everything there is to say on hover."""
    color = ground.color(style.color)
    return {
        "type": "scatter",
        "x": [p.x.value for p in points],
        "y": [p.drawn_y for p in points],
        **_errors(points, color),
        "mode": "markers",
        "name": safe(style.label),
        "legendgroup": points[0].method,
        "showlegend": False,
        "marker": {
            "symbol": [symbol(style, p) for p in points],
            "size": SIZE,
            "color": color,
            "line": {"width": 1.5, "color": [color if p.tied else ground.edge(style.color) for p in points]},
        },
        "customdata": [p.key for p in points],
        "hovertext": [hover(p) for p in points],
        "hoverinfo": "text",
        **STILL,
    }


def _pixels(points: Sequence[Point], shape: str, style: MethodStyle, ground: Theme) -> Trace:
    """Candidates of one method and one shape, without error bars."""
    color, first = ground.color(style.color), points[0]
    return {
        "type": "scattergl",
        "x": np.array([p.x.value for p in points]),
        "y": np.array([p.drawn_y for p in points]),
        "mode": "markers",
        "name": safe(style.label),
        "legendgroup": first.method,
        "showlegend": False,
        "marker": {
            "symbol": shape,
            "size": SIZE - 4,
            "color": color,
            "line": {"width": 1, "color": color if first.tied else ground.edge(style.color)},
        },
        "customdata": [p.key for p in points],
        "hovertext": [hover(p) for p in points],
        "hoverinfo": "text",
        **STILL,
    }


_TIED = "Tied with the front: the difference is inside the error"


def hover(p: Point) -> str:
    """Escaped lines: plotly renders a part of HTML, and labels come from recipes."""
    lines = [f"<b>{safe(p.label)}</b>"]
    for m in (p.y, p.x):
        lines.append(f"{metric(m.metric).label}: {safe(in_full(m))}")
    lines += [safe(hint) for m in (p.y, p.x) for hint in hints(m)]
    if p.front:
        lines.append("On the Pareto front")
    elif p.tied:
        lines.append(_TIED)
    return "<br>".join(lines)


def _errors(points: Sequence[Point], color: str) -> Trace:
    """Asymmetric error bars of both axes; none at all where no point has an interval."""
    found: Trace = {}
    for name, up, down in (
        ("error_x", [_gap(p.x.high, p.x.value) for p in points], [_gap(p.x.value, p.x.low) for p in points]),
        ("error_y", [_gap(p.highest, p.drawn_y) for p in points], [_gap(p.drawn_y, p.lowest) for p in points]),
    ):
        if any(up) or any(down):
            found[name] = {
                "type": "data",
                "array": up,
                "arrayminus": down,
                "symmetric": False,
                "color": color,
                "thickness": 1,
                "width": 3,
            }
    return found


def _gap(upper: float | None, lower: float | None) -> float:
    if upper is None or lower is None or not (math.isfinite(upper) and math.isfinite(lower)):
        return 0.0
    return max(0.0, upper - lower)


def stars(points: Sequence[Point], ground: Theme) -> Trace:
    """The dense baseline; several studies on one chart may have one each."""
    return {
        "type": "scatter",
        "x": [p.x.value for p in points],
        "y": [p.drawn_y for p in points],
        **_errors(points, ground.ink),
        "mode": "markers+text",
        "cliponaxis": False,
        "text": ["Dense", *("" for _ in points[1:])],
        "textposition": "top right" if points[0].x.metric == REMOVED else "bottom left",  # where there is room
        "textfont": {"color": ground.ink, "size": 13},
        "name": "Dense baseline" if len(points) == 1 else "Dense baselines",
        "marker": {"symbol": "star", "size": SIZE + 6, "color": ground.ink},
        "customdata": [p.key for p in points],
        "hovertext": [hover(p) for p in points],
        "hoverinfo": "text",
        **STILL,
    }


def guides(baseline: Point, ground: Theme) -> list[Trace]:
    """Thin lines through the baseline: left of one is cheaper, below the other is better."""
    line = {"color": ground.muted, "width": 1, "dash": "dot"}
    return [
        shape("line", "x", baseline.x.value, baseline.x.value, line=line, opacity=0.6),
        shape("line", "y", baseline.drawn_y, baseline.drawn_y, line=line, opacity=0.6),
    ]


def shape(kind: str, axis: str, start: float, end: float, **look: object) -> Trace:
    """A line or area across the whole chart, from `start` to `end` of one axis, below the points."""
    other = "y" if axis == "x" else "x"
    return {
        "type": kind,
        f"{axis}ref": axis,
        f"{axis}0": start,
        f"{axis}1": end,
        f"{other}ref": f"{other} domain",
        f"{other}0": 0,
        f"{other}1": 1,
        "layer": "below",
        **look,
    }


def staircase(points: Sequence[Point], ground: Theme) -> list[Trace]:
    """The front: at each cost, the best quality of the points up to it."""
    front = sorted((p for p in points if p.front), key=lambda p: (p.x.value, p.y.value))
    if len(front) < 2:
        return []
    better = metric(front[0].x.metric).better
    return [
        {
            "type": "scatter",
            "x": [p.x.value for p in front],
            "y": [p.drawn_y for p in front],
            "mode": "lines",
            "name": "Pareto front",
            "hoverinfo": "skip",
            "zorder": -1,
            "line": {"color": ground.muted, "width": 2, "shape": "hv" if better == "lower" else "vh"},
        }
    ]


def frames(points: Sequence[Point], ground: Theme) -> list[Trace]:
    """Squares around what was timed on a busy machine; clicks go to the point inside, so they carry the same key."""
    marker = {"symbol": "square-open", "size": SIZE + 17, "color": ground.ink, "line": {"width": 1.5}}
    return around([p for p in points if busy(p.x)], "In a square: timed on a busy machine", marker)


def around(points: Sequence[Point], name: str, marker: dict[str, object]) -> list[Trace]:
    """One mark over each of these points; it carries the key of its point, which clicks go to."""
    if not points:
        return []
    many = len(points) > MANY
    return [
        {
            "type": "scattergl" if many else "scatter",
            "mode": "markers",
            "hoverinfo": "skip",
            "x": np.array([p.x.value for p in points]) if many else [p.x.value for p in points],
            "y": np.array([p.drawn_y for p in points]) if many else [p.drawn_y for p in points],
            "name": name,
            "marker": marker,
            "customdata": [p.key for p in points],
            **STILL,
        }
    ]


def rings(points: Sequence[Point], picked: Mapping[str, str], ground: Theme) -> list[Trace]:
    """Circles with letters around the chosen candidates."""
    ringed = [p for p in points if p.key in picked]
    if not ringed:
        return []
    return [
        {
            "type": "scatter",
            "x": [p.x.value for p in ringed],
            "y": [p.drawn_y for p in ringed],
            "mode": "markers+text",
            "cliponaxis": False,
            "text": [picked[p.key] for p in ringed],
            "textposition": "top right",
            "textfont": {"color": ground.ink, "size": 15, "weight": 700},
            "marker": {"symbol": "circle-open", "size": SIZE + 12, "color": ground.ink, "line": {"width": 2}},
            "name": "Selected",
            "hoverinfo": "skip",
            "customdata": [p.key for p in ringed],
            **STILL,
        }
    ]


def legend_notes(points: Sequence[Point], ground: Theme) -> list[Trace]:
    """Legend lines that explain the shapes in use, without data."""
    notes = []
    if any(p.tied for p in points):
        notes.append(("circle-open", "Hollow: within the error of the front"))
    if any(p.estimated for p in points):
        notes.append(("circle-open-dot", "Dot inside: estimated"))
    return [legend(text, shape_, ground.muted, ground.muted, text) for shape_, text in notes]


def legend(name: str, marker: str, color: str, edge: str, group: str) -> Trace:
    """A legend line of its own, so that it shows the plain shape whatever the first point looks like."""
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "name": name,
        "legendgroup": group,
        "hoverinfo": "skip",
        "marker": {"symbol": marker, "size": SIZE, "color": color, "line": {"width": 1.5, "color": edge}},
    }
