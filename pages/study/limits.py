"""Limits as the address has them: `limit-METRIC`, in the unit that the page asks for."""

from __future__ import annotations

import math

import streamlit as st

from core.analysis.limits import limit_unit

_KEY = "limit-"


def key(metric_id: str) -> str:
    """The limit's name in the address."""
    return f"{_KEY}{metric_id}"


def own(metric_id: str, value: float | None) -> float | None:
    """A limit in the metric's own unit; None for what is no number."""
    return None if value is None or not math.isfinite(value) else float(value) * limit_unit(metric_id)[1]


def told() -> tuple[tuple[str, float], ...]:
    """The limits in the address, in the metrics' own units; what cannot be one is left out."""
    found = {name.removeprefix(_KEY): st.query_params[name] for name in st.query_params if name.startswith(_KEY)}
    return tuple((m, limit) for m, text in found.items() if (limit := own(m, _number(text))) is not None)


def forget() -> None:
    """Takes them out of the address."""
    for name in [n for n in st.query_params if n.startswith(_KEY)]:
        del st.query_params[name]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
