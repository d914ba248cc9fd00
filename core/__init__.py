"""Retort's core: prune, distil, measure. Never imports streamlit."""

__version__ = "0.1.0"
