"""The report as its readers see it: for executives, candidates and headline in plain names."""

from __future__ import annotations

from dataclasses import replace

from core.base.text import one_line
from core.report.model import HEADLINE, Report
from core.report.plain_names import model_name, renamed
from core.report.proposal import proposal, recommended


def presented(report: Report) -> Report:
    """For engineers the report itself. A headline of the author's own stays as it is."""
    if report.audience == "engineers":
        return report
    named = renamed(report.results)
    by_key = {r.key: r for r in named}
    chosen = tuple(by_key[c.key] for c in report.chosen)
    run = replace(report.run, model=model_name(report.run.model))
    called = {
        f"{letter}. {old.label}": f"{letter}. {new.label}"
        for letter, old, new in zip(report.letters.values(), report.chosen, chosen, strict=True)
    }
    made = replace(report, run=run, results=tuple(named), chosen=chosen, said=report.said.under(called))
    first = one_line(proposal(report.recommendation, report.chosen, report.results, report.run), HEADLINE)
    if report.headline != first:
        return made
    told = recommended(named, report.asked, report.limits, report.share)
    return replace(made, headline=one_line(proposal(told, chosen, named, run), HEADLINE))
