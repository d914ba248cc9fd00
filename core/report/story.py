"""A report as a story: what is asked, what to do, what it saves, what changes, what may go wrong, what to decide.

Every form (web page, presenter, PowerPoint, PDF) draws these slides, so that all say the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.analysis.recommendation import Offer, Recommendation
from core.analysis.recommendation_words import advice, limit_words, saving
from core.recipe.results import Result
from core.registry.metrics import metric
from core.report.figure import Figure
from core.report.model import Report
from core.report.plain_names import model_name
from core.report.quality_words import LOSS_MEANS, users
from core.report.risk import risk
from core.report.savings import explained, savings, unchanged
from core.report.slide import Slide
from core.report.slides import choices, costs, method, said
from core.report.text import plain

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def story(report: Report) -> list[Slide]:
    """The slides in their order; `report` as `core.report.presented` gives it."""
    told, first = report.recommendation, report.chosen[0]
    offer = _offer(told, first)
    engineers = report.audience == "engineers"
    parts: list[Slide | None] = [headline(report), _recommendation(report, told, first, offer)]
    parts += _savings(report, first, told.cost if parts[1] is not None and told is not None else "")
    parts += [_chart(report)]
    if engineers:
        parts += [*choices(report), *costs(report)]
    parts += [users(report, first, offer), *said(report), risk(report, first, told, offer)]
    parts += method(report) if engineers else [_evidence(report)]
    return [*(p for p in parts if p is not None), _ask(report, told, first)]


def headline(report: Report) -> Slide:
    """The recommendation in a sentence, under the question it answers."""
    under = f"{report.run.name} \u00b7 {report.run.model}" if report.audience == "engineers" else report.run.model
    lines = [plain(under, 200)] + ([plain(report.brand.author, 80)] if report.brand.author else [])
    return Slide("headline", plain(report.headline, 400), tuple(lines), lead=plain(question(report), 200))


def question(report: Report) -> str:
    """What the report answers: its title, or what the study asks."""
    if report.brand.title:
        return report.brand.title
    told = report.recommendation
    name = model_name(report.run.model)
    return f"Can {name} be smaller within {limit_words(told)}?" if told is not None else f"What became of {name}?"


def dated(report: Report) -> str:
    """When the study was measured: '30 November 2026'."""
    at = time.gmtime(report.run.finished or report.run.created)
    return f"{at.tm_mday} {_MONTHS[at.tm_mon - 1]} {at.tm_year}"


def source(report: Report) -> str:
    """Where the figures come from, for the foot of every slide."""
    if report.audience == "engineers":
        return f"Run {plain(report.run.id, 60)}"
    return f"Study of {plain(model_name(report.run.model), 60)}"


def _offer(told: Recommendation | None, candidate: Result) -> Offer | None:
    return next((o for o in told.offers if o.key == candidate.key), None) if told is not None else None


def _recommendation(report: Report, told: Recommendation | None, first: Result, offer: Offer | None) -> Slide | None:
    """The choice and how much smaller or faster it is."""
    if told is None or offer is None:
        return None
    figure = next((f for f in report.every_figure(first) if f.measurement.metric == told.cost), None)
    best = told.best is not None and told.best.key == first.key
    title = f"Recommended: {first.label}" if best else f"The closest: {first.label}"
    if not best and told.best is not None:
        title = f"Chosen here: {first.label}"
    lines = [f"What it costs in quality: {offer.given_up.words}; the limit is {limit_words(told)}.", LOSS_MEANS]
    if offer.given_up.measure != "loss_change":
        lines = lines[:1]
    if not offer.keeps:
        lines.insert(0, f"It is beyond the limit of {limit_words(told)}.")
    notes = (report.headline, f"Against the original: {saving(told, offer)}; {offer.given_up.words}.")
    big, lead = _cost(figure)
    return Slide(
        "recommendation",
        plain(title, 160),
        tuple(plain(line, 400) for line in lines),
        big=big,
        lead=plain(lead, 300),
        notes=tuple(plain(n, 400) for n in notes),
    )


def _cost(figure: Figure | None) -> tuple[str, str]:
    """'-11 %' and 'Weights on disk: 240.7 MB instead of 269.1 MB.'"""
    if figure is None or figure.difference is None:
        return "", ""
    change = figure.difference.change
    said = explained(figure) or f"{figure.label}: {figure.value} instead of {figure.original}."
    claimed = figure.difference.better is not None
    return (change, said) if claimed else ("No change", f"{figure.label}: {change}.")


def _savings(report: Report, first: Result, told: str) -> Iterator[Slide]:
    """A slide a cost but the one that is `told` already; the last one says which do not change."""
    found = [s for s in savings(report, first) if s.metric != told]
    same = unchanged(report, first)
    for i, one in enumerate(found):
        last = i == len(found) - 1 and same
        lines = (f"Without a change beyond the error: {', '.join(n.lower() for n in same)}.",) if last else ()
        what = "What it saves" if one.change.startswith("\u2212") else "What it costs more"
        yield Slide(
            "saving",
            f"{what}: {one.name[0].lower()}{one.name[1:]}",
            lines,
            big=one.change,
            lead=plain(one.sentence, 300),
            notes=(plain(one.note, 400),),
        )
    if not found and same:
        names = ", ".join(n.lower() for n in same)
        yield Slide("saving", "What it saves", (), big="Nothing", lead=f"No change beyond the error: {names}.")


def _chart(report: Report) -> Slide | None:
    if report.axes is None:
        return None
    x, y = report.axes
    said = f"Every point is a candidate of this study; letters mark the chosen ones. {report.caption}".strip()
    limits = report.outcome.sentence
    lines = (plain(said, 400), plain(limits, 400)) if limits else (plain(said, 400),)
    if report.audience == "executives":
        said = "Every point is a variant; further left is smaller or faster. Letters mark the ones in this report."
        return Slide("chart", "All variants beside the original", (said,))
    return Slide("chart", f"{metric(y).label} against {metric(x).label.lower()}", lines)


def _evidence(report: Report) -> Slide:
    """How the figures were found, for those who need not know the methods."""
    others = [r for r in report.results if not r.baseline]
    many = f"{len(others)} variants were" if len(others) > 1 else "One variant was"
    lines = [f"{many} made and measured beside the original, on the same texts."]
    if any(m.metric == "decode_ms" for r in report.results for m in r.measurements):
        lines.append("Times were taken in turns with the original, so that a busy machine favours none.")
    lines.append("A change is told only where it is larger than the error of the measurement.")
    if report.prices.per_hour is not None or report.prices.watts is not None:
        lines.append(
            "Money and energy follow from the measured time, the price of an hour and the power of the machine."
        )
    lines.append("The version of this report for engineers has every figure with its error and its settings.")
    return Slide("method", "How we know", tuple(lines))


def _ask(report: Report, told: Recommendation | None, first: Result) -> Slide:
    """What the reader is to decide."""
    title, own = "What we ask you to decide", told is not None and told.best is not None and told.best.key != first.key
    next_ = advice(told) if told is not None else None
    lines: list[str] = []
    if told is None:
        big, lead = "Measure the original", "Without it nothing here can be compared."
    elif told.best is not None:
        name = first.label if own else told.best.candidate.label
        big, lead = f"Adopt: {name}", "Take it where the original is used today, after a trial with your own questions."
        lines = [f"To become smaller still: {next_.sentence}"] if next_ is not None else []
    elif next_ is not None and next_.kind == "recover":
        big, lead = "Recover it first", next_.sentence
        lines = ["Until then the original stays in use."]
    else:
        big, lead = "Keep the original for now", next_.sentence if next_ is not None else ""
    return Slide("ask", title, tuple(plain(n, 400) for n in lines), big=plain(big, 160), lead=plain(lead, 300))
