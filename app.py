"""Retort's dashboard: `streamlit run app.py`."""

from pages.shared.shell import enter

enter()
