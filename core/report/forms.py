"""The forms a report can take. Imports none of them: the command line lists them without loading plotly."""

from __future__ import annotations

from typing import Literal

Form = Literal["html", "pptx", "pdf", "csv", "json"]
FORMS: dict[Form, tuple[str, str]] = {
    "html": ("Web page", "text/html"),
    "pptx": ("Slides", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    "pdf": ("PDF", "application/pdf"),
    "csv": ("Table (CSV)", "text/csv"),
    "json": ("Data (JSON)", "application/json"),
}
"""Name and media type of each form."""
