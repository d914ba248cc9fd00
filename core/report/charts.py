"""The charts of a report, for its page, its file and its slides."""

from __future__ import annotations

import plotly.graph_objects as go

from core.analysis.promised_vs_measured import Share, shares
from core.analysis.recommendation import bound_on
from core.figures import promised_vs_measured
from core.figures.limits import draw_limits
from core.figures.point import Point
from core.figures.points import points_of
from core.figures.theme import Theme, method_style
from core.figures.tradeoff import alt, tradeoff
from core.recipe.results import Result
from core.registry.metrics import metric
from core.report.drawing import draw
from core.report.model import Report
from core.report.picture import Picture, Place

_DRAWN = 300  # points of the chart: more would hide each other
WIDE, NARROW = (1000.0, 480.0), (380.0, 460.0)
"""Width and height of a drawing on a screen, and on a phone."""


def points(report: Report) -> list[Point]:
    """The candidates of the study on the report's axes; empty where it has none."""
    if report.axes is None:
        return []
    chosen = {r.key for r in report.chosen}
    found = points_of(report.placed, *report.axes)
    if len(found) > _DRAWN:  # those the reader looks for first
        found.sort(key=lambda p: (not p.baseline, p.key not in chosen, not p.front, not p.tied))
    return found[:_DRAWN]


def chart(report: Report, shown: list[Point], ground: Theme) -> go.Figure:
    """Quality against cost, the chosen candidates ringed."""
    log = metric(shown[0].y.metric).better == "lower"
    figure = tradeoff(shown, ground, picked=report.letters, log_y=log, height=480)
    told, bounds = report.recommendation, dict(report.limits)
    if bounds or told is not None:
        y_metric = shown[0].y.metric
        x, y = bounds.get(shown[0].x.metric), bounds.get(y_metric, bound_on(told, y_metric) if told else None)
        best = told.best.key if told is not None and told.best is not None else None
        draw_limits(figure, [p for p in shown if p.drawable], x, y, report.outcome.aside, best, ground)
    figure.update_layout(dragmode=False)
    return figure


def drawn(report: Report, shown: list[Point], ground: Theme, size: Place = WIDE) -> Picture:
    """The same as a picture, which needs no script."""
    x, y = shown[0].x.metric, shown[0].y.metric
    title = f"{metric(y).label} against {metric(x).label.lower()}"
    return draw(chart(report, shown, ground), (x, y), size, ground, title, alt(shown))


def promised(report: Report, candidate: Result) -> list[Share]:
    """What was asked for and what it costs, as shares of the original; empty without an original."""
    return shares(candidate, report.baseline) if report.baseline else []


def bars(candidate: Result, found: list[Share], ground: Theme) -> go.Figure:
    """These shares as bars in the colour of the candidate's method."""
    return promised_vs_measured.bars(found, ground, ground.color(method_style(candidate.method).color))
