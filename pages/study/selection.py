"""The candidates chosen for comparison. They live in the URL, so that a link carries them.

Plotly forgets its own selection whenever the figure changes, so it only reports clicks; what is chosen
is kept here and drawn as rings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import streamlit as st

from pages.frame.text import flat


class Labelled(Protocol):
    """A candidate, whole or in brief."""

    @property
    def label(self) -> str: ...


MOST = 3
_SHORT = 10  # characters of a key: enough to tell the candidates of a home apart, short enough for a link


def short(key: str) -> str:
    """The key of a candidate as an address has it."""
    return key[:_SHORT]


def get(candidates: Iterable[str]) -> list[str]:
    """Chosen keys among `candidates`, in the order they were chosen."""
    wanted = _shorts()
    by_short = {short(k): k for k in candidates} if wanted else {}
    return [by_short[s] for s in wanted if s in by_short][:MOST]


def put(keys: Iterable[str]) -> None:
    """Replaces the choice; the oldest make room beyond three."""
    kept = [short(k) for k in keys][-MOST:]
    st.session_state["_picks"] = kept
    if kept:
        st.query_params["pick"] = kept
    elif "pick" in st.query_params:
        del st.query_params["pick"]


def toggle(key: str | None) -> None:
    """Chooses a candidate, or lets it go."""
    if not key:
        return
    now = _shorts()
    put([s for s in now if s != short(key)] if short(key) in now else [*now, key])


def widget(candidates: Mapping[str, Labelled]) -> None:
    """The same choice as a list, for the keyboard and for points that lie on each other."""
    st.session_state["_picker"] = get(candidates)
    st.multiselect(
        "Candidates to compare with the dense baseline",
        list(candidates),
        key="_picker",
        max_selections=MOST,
        format_func=lambda k: flat(candidates[k].label),
        on_change=lambda: put(st.session_state["_picker"]),
        placeholder="Click points on the chart, or choose here",
    )


def _shorts() -> list[str]:
    """From the URL; where it says nothing, what was chosen before leaving the page."""
    return list(st.query_params.get_all("pick")) or list(st.session_state.get("_picks", []))
