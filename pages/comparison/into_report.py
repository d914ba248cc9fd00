"""From a saved comparison to the report that shows it."""

from __future__ import annotations

import streamlit as st

from core.recipe.comparisons import Comparison, candidate_keys
from pages.comparison.models import Chosen
from pages.frame import home, shell
from pages.frame.text import flat
from pages.frame.tokens import visible
from pages.study import selection

_MOST = 6  # prompts of one report


def one(chosen: Chosen, comparison: Comparison) -> None:
    """A link for texts after one prompt."""
    _link(chosen, [comparison.id])


def several(chosen: Chosen, comparison: Comparison) -> None:
    """Prompts to choose, and the link that takes them along."""
    words = {r["number"]: flat(visible(r["prompt"]), 90) for r in comparison.found["rows"]}
    numbers = st.multiselect(
        "Prompts for the report",
        list(words),
        key=f"compare-report-{comparison.id}",
        max_selections=_MOST,
        format_func=lambda n: f"{n + 1}. {words[n]}",
        placeholder="Choose those that show best what changes",
    )
    if numbers:
        _link(chosen, [f"{comparison.id}.{n}" for n in numbers])


def _link(chosen: Chosen, texts: list[str]) -> None:
    """A report is about one study: the newest whose own model is the first one and that has a candidate of these."""
    store = home.store()
    keys = candidate_keys(chosen.references[1:])
    runs = [store.runs.get(run_id) for key in keys for run_id in store.candidates.runs_of(key)]
    run = next((r for r in reversed(runs) if r.model == chosen.references[0]), None)
    if run is None:
        st.caption(":material/info: A report can show texts of a study's own model beside its candidates only.")
        return
    st.page_link(
        shell.path("report"),
        label="Open the report with it" if len(texts) == 1 else "Open the report with them",
        icon=":material/summarize:",
        query_params={"run": run.id, "pick": [selection.short(k) for k in keys], "text": texts},
    )
