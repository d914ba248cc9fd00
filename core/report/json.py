"""A report as one JSON document: every figure with where it came from."""

from __future__ import annotations

from core.analysis.limits import bound_words
from core.base.json_io import dump
from core.recipe.results import Result
from core.registry.formatting import spread
from core.report import charts
from core.report.model import Report

SCHEMA = "retort-report/1"


def to_json(report: Report) -> str:
    """The document as text. NaN and infinities, which JSON cannot express, become null."""
    document = {
        "schema": SCHEMA,
        "headline": report.headline,
        "audience": report.audience,
        "prices": report.prices.model_dump(),
        "run": {"id": report.run.id, "name": report.run.name, "model": report.run.model, "recipe": report.run.recipe},
        "baseline": _candidate(report, report.baseline) if report.baseline else None,
        "candidates": [_candidate(report, c) for c in report.chosen],
        "limits": {
            "asked": [{"metric": m, "limit": limit, "shown": bound_words(m, limit)} for m, limit in report.limits],
            "kept_by": report.outcome.feasible,
            "best": report.outcome.best,
            "sentence": report.outcome.sentence,
        },
        "said": report.said.document(),
        "notes": report.notes(),
    }
    return dump(document) + "\n"


def _candidate(report: Report, candidate: Result) -> dict[str, object]:
    return {
        "key": candidate.key,
        "label": candidate.label,
        "model": candidate.model,
        "method": candidate.method,
        "verdict": None if candidate.baseline else report.verdict(candidate),
        "figures": [
            f.measurement.model_dump(exclude={"samples"})
            | {
                "run": report.run.id,
                "label": f.label,
                "shown": f.value,
                "range": spread(f.measurement) or None,
                "change": f.difference.change if f.difference else None,
                "evidence": f.difference.evidence or None if f.difference else None,
                "original": f.difference.original if f.difference else None,
                "original_shown": f.original,
            }
            for f in report.figures(candidate)
        ],
        "shares": [
            {"metric": s.metric, "label": s.label, "value": s.value, "shown": s.said}
            for s in (charts.promised(report, candidate) if not candidate.baseline else [])
        ],
        "notes": candidate.notes,
        "versions": candidate.versions,
    }
