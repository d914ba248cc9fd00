"""The charts of a report, for its page, its file and its slides."""

from __future__ import annotations

import plotly.graph_objects as go

from core.analysis.promised_vs_measured import Share, shares
from core.figures import promised_vs_measured
from core.figures.limits import draw_limits
from core.figures.point import Point
from core.figures.points import points_of
from core.figures.theme import Theme, method_style
from core.figures.tradeoff import tradeoff
from core.recipe.results import Result
from core.registry.metrics import metric
from core.report.model import Report

_DRAWN = 300  # points of the chart; more would be drawn by WebGL, which the policy of the file does not allow


def points(report: Report) -> list[Point]:
    """The candidates of the study on the report's axes; empty where it has none."""
    if report.axes is None:
        return []
    chosen = {r.key for r in report.chosen}
    found = points_of(report.results, *report.axes)
    if len(found) > _DRAWN:  # those the reader looks for first
        found.sort(key=lambda p: (not p.baseline, p.key not in chosen, not p.front, not p.tied))
    return found[:_DRAWN]


def chart(report: Report, shown: list[Point], ground: Theme) -> go.Figure:
    """Quality against cost, the chosen candidates ringed."""
    log = metric(shown[0].y.metric).better == "lower" and all(p.y.value > 0 for p in shown)
    figure = tradeoff(shown, ground, picked=report.letters, log_y=log, height=480)
    if report.limits:
        bounds = dict(report.limits)
        x, y = bounds.get(shown[0].x.metric), bounds.get(shown[0].y.metric)
        draw_limits(figure, [p for p in shown if p.drawable], x, y, report.outcome, ground)
    figure.update_layout(dragmode=False)
    return figure


def promised(report: Report, candidate: Result) -> list[Share]:
    """What was asked for and what it costs, as shares of the original; empty without an original."""
    return shares(candidate, report.baseline) if report.baseline else []


def bars(candidate: Result, found: list[Share], ground: Theme) -> go.Figure:
    """These shares as bars in the colour of the candidate's method."""
    return promised_vs_measured.bars(found, ground, ground.color(method_style(candidate.method).color))
