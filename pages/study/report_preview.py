"""The report's page as it would be downloaded, drawn once for as long as nothing it shows changes."""

from __future__ import annotations

import streamlit as st

from core.report.fingerprint import fingerprint
from core.report.html import to_html
from core.report.model import Report


@st.cache_data(show_spinner="Drawing the report", max_entries=6, hash_funcs={Report: fingerprint})
def document(report: Report) -> str:
    """The whole HTML document."""
    return to_html(report)
