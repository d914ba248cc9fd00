"""The chart Retort is about: quality against a cost, with the front, the ties and the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from core.analysis.paired_times import busy, relative_to
from core.analysis.removed import REMOVED
from core.figures import traces
from core.figures.axes import axis, floor_of
from core.figures.method_lines import method_lines
from core.figures.point import Point
from core.figures.recovery import arrows
from core.figures.theme import Theme, template
from core.registry.formatting import show
from core.registry.metrics import metric

CHANGES = ("loss_change", "kl_to_teacher")
"""Quality figures that are zero for the original: a logarithmic axis of them has a place for that."""


def clipped(points: Sequence[Point], y_limit: float | None) -> list[Point]:
    """The points the chart cannot show: worse than `y_limit`, infinite or not a number."""
    sign = -1.0 if points and metric(points[0].y.metric).better == "higher" else 1.0
    worst = math.inf if y_limit is None else sign * y_limit
    return [p for p in points if not p.drawable or sign * p.y.value > worst]


def crowded(points: Sequence[Point]) -> bool:
    """Whether there are so many points that error bars are drawn for the front only."""
    return sum(not p.baseline for p in points) > traces.MANY


def tradeoff(
    points: Sequence[Point],
    ground: Theme,
    *,
    picked: Mapping[str, str] | None = None,
    log_y: bool = False,
    y_limit: float | None = None,
    height: int = 520,
) -> go.Figure:
    """Quality (y) against cost (x), one shape and colour a method; against what is removed, a line a method too.

    Args:
        points: candidates, all with the same two metrics; the baselines among them.
        picked: key -> letter of the candidates that are ringed.
        y_limit: points of worse quality are left out (see `clipped`).
    Returns:
        The figure; each point carries its key in `customdata`.
    """
    layout = {"template": template(ground), "height": height}
    hidden = {p.key for p in clipped(points, y_limit)}
    shown = [p for p in points if p.key not in hidden]
    if not shown:
        return go.Figure(layout=layout)
    floor = floor_of([p.y for p in shown]) if log_y and shown[0].y.metric in CHANGES else None
    shown = [replace(p, floor=floor) for p in shown]
    log_y = log_y and all(p.drawn_y > 0 for p in shown)
    lines = method_lines(shown, ground) if shown[0].x.metric == REMOVED else traces.staircase(shown, ground)
    baselines = [p for p in shown if p.baseline]
    arrow_notes, arrow_legend = arrows(shown, ground, log_y)
    return go.Figure(
        data=[
            *lines,
            *traces.methods([p for p in shown if not p.baseline], ground),
            *([traces.stars(baselines, ground)] if baselines else []),
            *arrow_legend,
            *traces.frames(shown, ground),
            *traces.rings(shown, picked or {}, ground),
            *traces.legend_notes(shown, ground),
        ],
        layout={
            **layout,
            "xaxis": axis([p.x for p in shown], False),
            "yaxis": axis([p.y for p in shown], log_y, floor),
            "shapes": traces.guides(baselines[0], ground) if baselines else [],
            "annotations": arrow_notes,
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"},
            "clickmode": "event+select",
            "margin": {"l": 8, "r": 56, "t": 8, "b": 8},
        },
    )


def alt(points: Sequence[Point], y_limit: float | None = None) -> str:
    """The chart in words, for those who do not see it."""
    if not points:
        return "A chart without points."
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    hidden = clipped(points, y_limit)
    said = [f"Scatter chart of {y.label.lower()} against {x.label.lower()} for {len(points)} candidates."]
    if told := relative_to([p.x for p in points]):
        said.append(f"{x.label} is the {told}.")
    dense = next((p for p in points if p.baseline), None)
    if dense is not None:
        said.append(f"Dense baseline: {_pair(dense)}.")
    front = [p for p in points if p.front and not p.baseline]
    if front:
        more = f", and {len(front) - 8} more" if len(front) > 8 else ""
        said.append("On the Pareto front: " + "; ".join(f"{p.label}, {_pair(p)}" for p in front[:8]) + f"{more}.")
    if disturbed := [p for p in points if busy(p.x)]:
        said.append(f"{len(disturbed)} timed on a busy machine.")
    if hidden:
        said.append(f"{len(hidden)} not drawn.")
    return " ".join(said)


def _pair(p: Point) -> str:
    return f"{show(p.y.metric, p.y.value)} at {show(p.x.metric, p.x.value)}"
