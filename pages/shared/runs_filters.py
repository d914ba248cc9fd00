"""The filters of the list of runs; all of them are in the address, so that a link shows the same list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import streamlit as st

from core.store import Store
from core.store.rows import RunState
from pages.shared import run_panel
from pages.shared.text import flat

STATES: dict[str, tuple[str, tuple[RunState, ...] | None]] = {
    "all": ("All", None),
    "active": ("Active", ("queued", "running")),
    "done": ("Done", ("done",)),
    "failed": ("Failed", ("failed",)),
    "cancelled": ("Cancelled", ("cancelled",)),
}


class Wanted(TypedDict):
    """Keywords of `Runs.find` and `Runs.count`."""

    states: tuple[RunState, ...] | None
    kinds: tuple[str, ...] | None
    model: str | None
    tag: str | None
    text: str


def chosen(store: Store) -> Wanted:
    """Draws the filters and returns what is asked for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state = st.radio(
            "State", list(STATES), key="state", bind="query-params", format_func=lambda f: STATES[f][0],
            horizontal=True,
        )  # fmt: skip
        text = st.text_input(
            "Search", key="q", bind="query-params", max_chars=100, placeholder="Name, model or note", width=320,
            icon=":material/search:",
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = _choice("Kind", "kind", store.runs.kinds(), words=True)
        model = _choice("Model", "model", store.runs.models())
        tags = store.runs.tags()
        tag = _choice("Tag", "tag", tags) if tags else None
    return Wanted(
        states=STATES[state or "all"][1], kinds=(kind,) if kind else None, model=model, tag=tag, text=text or ""
    )


def _choice(label: str, key: str, options: list[str], words: bool = False) -> str | None:
    return choice(label, key, options, run_panel.kind_word if words else flat, "Any", 240)


def choice(
    label: str, key: str, options: list[str], shown: Callable[[str], str], placeholder: str, width: int
) -> str | None:
    """A select box that may be left empty. The address holds the option itself, not the words shown for it."""
    if key not in st.session_state and st.query_params.get(key) in options:
        st.session_state[key] = st.query_params[key]
    found = st.selectbox(
        label, options, index=None, key=key, placeholder=placeholder, width=width, format_func=shown
    )  # fmt: skip
    if found is not None:
        st.query_params[key] = found
    elif key in st.query_params:
        del st.query_params[key]
    return found
