"""A report in one of its forms, as bytes."""

from __future__ import annotations

from core.report.csv import to_csv
from core.report.forms import Form
from core.report.html import to_html
from core.report.json import to_json
from core.report.model import Report
from core.report.pdf import to_pdf
from core.report.pptx import to_pptx


def render(report: Report, form: Form) -> bytes:
    """The file of that form."""
    if form == "pptx":
        return to_pptx(report)
    if form == "pdf":
        return to_pdf(report)
    text = {"html": to_html, "csv": to_csv, "json": to_json}[form](report)
    return text.encode("utf-8", errors="replace")
