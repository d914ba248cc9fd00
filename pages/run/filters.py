"""The filters of the list of runs; all of them are in the address, so that a link shows the same list."""

from __future__ import annotations

from typing import TypedDict

import streamlit as st

from core.store import Store
from core.store.rows import RunState
from pages.frame import studies, urls
from pages.frame.text import flat
from pages.run import panel

STATES: dict[str, tuple[str, tuple[RunState, ...] | None]] = {
    "all": ("All", None),
    "active": ("Active", ("queued", "running")),
    "done": ("Done", ("done",)),
    "failed": ("Failed", ("failed",)),
    "cancelled": ("Cancelled", ("cancelled",)),
}


class RunFilters(TypedDict):
    """Keywords of `Runs.find` and `Runs.count`."""

    states: tuple[RunState, ...] | None
    kinds: tuple[str, ...] | None
    model: str | None
    tag: str | None
    text: str


def chosen(store: Store) -> RunFilters:
    """Draws the filters and returns what is asked for."""
    kinds, models, tags = studies.known(store, store.columns.state())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state = urls.radio("State", "state", list(STATES), lambda f: STATES[f][0], horizontal=True)
        text = st.text_input(
            "Search",
            key="q",
            bind="query-params",
            max_chars=100,
            placeholder="Name, model or note",
            width=320,
            icon=":material/search:",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = urls.select("Kind", "kind", kinds, panel.kind_word, placeholder="Any", width=240)
        model = urls.select("Model", "model", models, flat, placeholder="Any", width=240)
        tag = urls.select("Tag", "tag", tags, flat, placeholder="Any", width=240) if tags else None
    return RunFilters(states=STATES[state][1], kinds=(kind,) if kind else None, model=model, tag=tag, text=text or "")
