"""What a candidate saves, a figure at a time, each with the sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass

from core.recipe.results import Result
from core.registry.formatting import MINUS, in_full, show, significant
from core.report.figure import Figure
from core.report.model import Report

_WORDS = {
    "disk_bytes": ("The file", "The file goes from {was} to {now}."),
    "memory_bytes": ("Memory", "Once loaded it takes {now} instead of {was}."),
    "decode_ms": ("Time to write", "A token, a word or a part of one, takes {now} instead of {was}."),
    "cost_per_mtok": ("Money", "A million tokens, words or parts of them, cost {now} instead of {was}."),
    "energy_kwh_per_mtok": ("Energy", "A million tokens, words or parts of them, take {now} instead of {was}."),
}
"""What each is called, and how the two figures are told."""
_MONTHLY = ("cost_per_mtok", "energy_kwh_per_mtok")


@dataclass(frozen=True)
class Saving:
    """One cost that is lower or higher than the original's."""

    metric: str
    name: str
    change: str
    """'\u221211 %', or what a month brings: '\u2212531 EUR a month'."""
    sentence: str
    note: str
    """For the speaker: how it came about."""


def savings(report: Report, candidate: Result) -> list[Saving]:
    """Every cost with a change that can be claimed: money and energy first."""
    found = _figures(report, candidate)
    order = (*_MONTHLY, "disk_bytes", "memory_bytes", "decode_ms")
    return [_saving(report, found[m]) for m in order if m in found and _claimed(found[m])]


def unchanged(report: Report, candidate: Result) -> list[str]:
    """Names of the costs for which no change can be claimed."""
    return [_WORDS[m][0] for m, f in _figures(report, candidate).items() if not _claimed(f)]


def explained(figure: Figure) -> str:
    """'The file goes from 269.1 MB to 240.7 MB.'; '' for a cost that has no such sentence."""
    m, d = figure.measurement, figure.difference
    words = _WORDS.get(m.metric)
    if words is None or d is None or d.original is None:
        return ""
    return words[1].format(now=show(m.metric, m.value, m.unit), was=show(m.metric, d.original, m.unit))


def monthly(figure: Figure, million_tokens: float) -> tuple[str, str, str]:
    """What a month of that traffic takes, what the original takes, and the change: '417 EUR', '469 EUR', '-52 EUR'."""
    m, d = figure.measurement, figure.difference
    assert d is not None and d.original is not None
    now, was = m.value * million_tokens, d.original * million_tokens
    sign = MINUS if now < was else "+"
    return _amount(now, m.unit), _amount(was, m.unit), f"{sign}{_amount(abs(now - was), m.unit)}"


def _figures(report: Report, candidate: Result) -> dict[str, Figure]:
    return {
        f.measurement.metric: f
        for f in report.every_figure(candidate)
        if f.measurement.metric in _WORDS and f.difference is not None and f.difference.original is not None
    }


def _claimed(figure: Figure) -> bool:
    return figure.difference is not None and figure.difference.better is not None


def _saving(report: Report, figure: Figure) -> Saving:
    m, d = figure.measurement, figure.difference
    assert d is not None
    name, words = _WORDS[m.metric]
    now, was, change = show(m.metric, m.value, m.unit), show(m.metric, d.original, m.unit), d.change
    traffic = report.prices.mtok_per_month
    if m.metric in _MONTHLY and traffic is not None:
        now, was, change = monthly(figure, traffic)
        change = f"{change} a month"
        words = f"At {significant(traffic, 4)} million tokens a month: {{now}} instead of {{was}} ({d.change})."
    said = words.format(now=now, was=was)
    if m.obtained == "estimated":
        said += " Estimated, not measured."
    return Saving(m.metric, name, change, said, f"{figure.label}: {in_full(m)}; {figure.against}.")


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100.0 else f"{significant(value, 3)} {unit}"
