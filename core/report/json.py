"""A report as one JSON document: every figure with where it came from."""

from __future__ import annotations

from typing import Any

from core.plain_json import dump
from core.report.model import Report
from core.results import Result

SCHEMA = "retort-report/1"


def to_json(report: Report) -> str:
    """The document as text. NaN and infinities, which JSON has not, become null."""
    document = {
        "schema": SCHEMA,
        "headline": report.headline,
        "audience": report.audience,
        "prices": report.prices.model_dump(),
        "run": {"id": report.run.id, "name": report.run.name, "model": report.run.model, "recipe": report.run.recipe},
        "baseline": _candidate(report, report.baseline) if report.baseline else None,
        "candidates": [_candidate(report, c) for c in report.chosen],
        "notes": report.notes(),
    }
    return dump(document) + "\n"


def _candidate(report: Report, candidate: Result) -> dict[str, Any]:
    return {
        "key": candidate.key, "label": candidate.label, "model": candidate.model, "method": candidate.method,
        "verdict": None if candidate.baseline else report.verdict(candidate),
        "figures": [
            f.measurement.model_dump(exclude={"samples"}) | {
                "run": report.run.id, "label": f.label, "change": f.difference.change if f.difference else None,
                "original": f.difference.original if f.difference else None,
            }
            for f in report.figures(candidate)
        ],
        "notes": candidate.notes, "versions": candidate.versions,
    }  # fmt: skip
