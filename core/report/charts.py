"""The charts of a report, for its page, its file and its slides."""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go

from core.analysis.given_up import LOSS
from core.analysis.promised_vs_measured import Share, shares
from core.analysis.recommendation import original_loss
from core.figures import promised_vs_measured
from core.figures.limits import draw_decision
from core.figures.point import Point
from core.figures.points import points_of
from core.figures.theme import Theme, method_style
from core.figures.tradeoff import alt, tradeoff
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.measurement import Measurement
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
    if report.audience == "executives" and report.axes[1] == LOSS:
        found = [replace(p, y=_percent_of_loss(p.y, report)) for p in found]
    if len(found) > _DRAWN:  # those the reader looks for first
        found.sort(key=lambda p: (not p.baseline, p.key not in chosen, not p.front, not p.tied))
    return found[:_DRAWN]


def _percent_of_loss(m: Measurement, report: Report) -> Measurement:
    """A change of loss in percent of the original's, as the sentences say it."""
    part = _percent_a_nat(report)
    ends = {name: None if (v := getattr(m, name)) is None else v * part for name in ("value", "low", "high")}
    return m.model_copy(update={**ends, "samples": None})


def _percent_a_nat(report: Report) -> float:
    return 100.0 / (original_loss(report.baseline) or 100.0)


def chart(report: Report, shown: list[Point], ground: Theme) -> go.Figure:
    """Quality against cost, the chosen candidates ringed."""
    log = metric(shown[0].y.metric).better == "lower"
    figure = tradeoff(shown, ground, picked=report.letters, log_y=log, height=480)
    in_percent = report.audience == "executives" and shown[0].y.metric == LOSS
    draw_decision(
        figure,
        [p for p in shown if p.drawable],
        report.recommendation,
        dict(report.limits),
        report.outcome.aside,
        ground,
        _percent_a_nat(report) if in_percent else 1.0,
    )
    figure.update_layout(dragmode=False)
    return _in_plain_words(figure) if report.audience == "executives" else figure


def _in_plain_words(figure: go.Figure) -> go.Figure:
    """Without names of methods and terms of the field: names stand beside the points, and the original is one."""
    figure.for_each_trace(lambda t: t.update(showlegend=t.name in _PLAIN, name=_PLAIN.get(t.name, t.name)))
    figure.update_traces(text=["The original"], selector={"text": ("Dense",)})
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        axis.title.text = _plain(str(axis.title.text))
    for trace in figure.data:
        if trace.hovertext:
            trace.hovertext = [_plain(words) for words in trace.hovertext]
    return figure


_PLAIN = {
    "Pareto front": "Best at each size",
    "Dense baseline": "The original",
    "Selected": "In this report",
    "Recommended: the smallest within the limit": "Recommended: the smallest within the limit",
    "Hollow: within the error of the front": "Hollow: as good, as far as can be told",
    "Dot inside: estimated": "Dot inside: estimated",
}
"""Lines of the legend that executives see, and what they say to them."""
_INSTEAD = {
    "On the Pareto front": "Best at its size",
    "Dense baseline": "The original",
    "Loss change, nats": "More loss than the original, %",
    "Loss change": "More loss than the original",
    " nats": " %",
    "loss change": "loss beyond the original's",
    "Tied with the front: the difference is inside the error": "As good as the best, as far as can be told",
}


def _plain(words: str) -> str:
    for term, instead in _INSTEAD.items():
        words = words.replace(term, instead)
    return words


def drawn(report: Report, shown: list[Point], ground: Theme, size: Place = WIDE) -> Picture:
    """The same as a picture, which needs no script."""
    x, y = shown[0].x.metric, shown[0].y.metric
    title = f"{metric(y).label} against {metric(x).label.lower()}"
    if report.audience == "executives":
        title = "Quality against cost"
    return draw(chart(report, shown, ground), (x, y), size, ground, title, alt_of(report, shown))


def alt_of(report: Report, shown: list[Point]) -> str:
    """The chart in words."""
    return worded(report, alt(shown))


def worded(report: Report, said: str) -> str:
    """For executives without terms of the field."""
    return _plain(said) if report.audience == "executives" else said


def written(report: Report, shown: list[Point]) -> list[tuple[str, str, str]]:
    """The points as a table: name and both figures."""
    rows = [(p.label, show(p.x.metric, p.x.value), show(p.y.metric, p.y.value)) for p in shown]
    return [(a, b, _plain(c)) for a, b, c in rows] if report.audience == "executives" else rows


def titles(report: Report, shown: list[Point]) -> tuple[str, str]:
    """What the two figures of a point are called."""
    x, y = metric(shown[0].x.metric).label, metric(shown[0].y.metric).label
    return (_plain(x), _plain(y)) if report.audience == "executives" else (x, y)


def promised(report: Report, candidate: Result) -> list[Share]:
    """What was asked for and what it costs, as shares of the original; empty without an original."""
    return shares(candidate, report.baseline) if report.baseline else []


def bars(candidate: Result, found: list[Share], ground: Theme) -> go.Figure:
    """These shares as bars in the colour of the candidate's method."""
    return promised_vs_measured.bars(found, ground, ground.color(method_style(candidate.method).color))
