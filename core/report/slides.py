"""The slides for engineers: each choice against the original, costs, method and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from core.base.text import without_middle
from core.report.figure import Figure
from core.report.model import Report
from core.report.slide import Slide
from core.report.text import filled, plain

T = TypeVar("T")
_TURNS = "Times, money and energy follow from each model's ratio to the original timed in turns with it."
_ROWS, _WIDTH = 9, 90  # lines of notes on a slide, and characters of a line
_SIDE = 3  # candidates beside the original on a slide of costs
_COSTS = ("disk_bytes", "memory_bytes", "prefill_ms", "decode_ms", "cost_per_mtok", "energy_kwh_per_mtok")


def choices(report: Report) -> Iterator[Slide]:
    for candidate in report.chosen:
        title = f"{report.letters[candidate.key]}. {plain(candidate.label, 160)}"
        lines = report.quality_sentence(candidate), report.verdict(candidate)
        yield Slide("choice", title, tuple(plain(line, 400) for line in lines), candidate)


def said(report: Report) -> Iterator[Slide]:
    """What the models write, a slide a prompt, and the votes on it."""
    for title, rows in report.said.tables():
        yield Slide("texts", title, table=rows)
    if report.said.votes:
        lines = tuple(plain(v.sentence, 400) for v in report.said.votes)
        yield Slide("votes", "Which text is better, by blind votes", lines)


def costs(report: Report) -> Iterator[Slide]:
    dense = report.baseline
    for some in _groups(report.chosen, _SIDE):
        shown = [*([dense] if dense else []), *some]
        found = [{f.measurement.metric: f for f in report.every_figure(c)} for c in shown]
        rows = [
            (next(f[m].label for f in found if m in f), *(_cell(f.get(m)) for f in found))
            for m in _COSTS
            if any(m in f for f in found)
        ]
        if rows:
            names = ["Original"] if dense else []
            names += [f"{report.letters[c.key]}. {without_middle(plain(c.label, 400), 60)}" for c in some]
            said = _TURNS if dense else "No original was measured in this study."
            yield Slide("costs", "What it costs", (said,), table=(("Figure", *names), *rows))


def _cell(figure: Figure | None) -> str:
    """'143 MB (\u221247 %)', with a word where it is estimated; an en dash where nothing is known."""
    if figure is None:
        return "\u2013"
    change = figure.difference.change if figure.difference else ""
    return figure.value + (f" ({change})" if change else "")


def method(report: Report) -> Iterator[Slide]:
    for some in filled([plain(n, 400) for n in report.notes()], _ROWS, _WIDTH):
        yield Slide("method", "How this was found out, and its limits", tuple(some))


def _groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
