"""A report as a table for spreadsheets: one row per figure."""

from __future__ import annotations

import csv
import io
import json
import re

from core.base.text import whole
from core.registry.formatting import spread
from core.report.model import Report

HEAD = (
    "run",
    "candidate_key",
    "candidate",
    "metric",
    "label",
    "value",
    "low",
    "high",
    "unit",
    "change",
    "obtained",
    "device",
    "dtype",
    "settings",
    "original",
    "shown",
    "range",
    "original_shown",
    "evidence",
)
_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_STARTS = re.compile(rf"(^|[;|])(?=[ \u00a0\ufeff]*{_FORMULA})")
_SPACES = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def to_csv(report: Report) -> str:
    """UTF-8 text with a header. Text that a spreadsheet might run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEAD)
    shown = [*([report.baseline] if report.baseline else []), *report.chosen]
    for candidate in shown:
        for f in report.figures(candidate):
            m = f.measurement
            row = (
                report.run.id,
                candidate.key,
                candidate.label,
                m.metric,
                f.label,
                m.value,
                m.low,
                m.high,
                m.unit,
                f.difference.change if f.difference else "",
                m.obtained,
                m.device,
                m.dtype,
                json.dumps({k: v for k, v in m.settings.items() if k != "answers"}, sort_keys=True, default=str),
                f.difference.original if f.difference else None,
                f.value,
                spread(m),
                f.original,
                f.difference.evidence if f.difference else "",
            )
            writer.writerow([_safe(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def _safe(text: str) -> str:
    """One line, whose start is no formula, nor what follows a mark that a spreadsheet may take for the next cell."""
    return _STARTS.sub(r"\1'", _SPACES.sub(" ", whole(text)))
