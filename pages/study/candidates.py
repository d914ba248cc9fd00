"""The candidates of one run: how each stands, its figures, and what can be done with the one that is picked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.registry.formatting import DASH, show
from core.registry.metrics import metric
from core.store import RunRow, TrialRow
from pages.frame import shell
from pages.frame.states import refused
from pages.frame.text import duration, flat, md
from pages.run import search_curve
from pages.study import make_again, selection
from pages.study.tradeoff_data import Field, field

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_FIGURES = ("loss_change", "perplexity", "accuracy", "disk_bytes", "memory_bytes", "decode_ms")
_WORDS = {"queued": "Waiting", "running": "Running", "done": "Done", "failed": "Failed"}
_HEIGHT, _ROW = 620, 35


def show_candidates(run: RunRow, trials: Sequence[TrialRow]) -> None:
    """Every trial with its state, its figures and the time it took; causes of failures below."""
    shown = field((run,))
    kept = {h.key for h in shown.heads if h.saved}
    picked = st.dataframe(
        _table(shown, trials, kept),
        hide_index=True,
        height=min(_HEIGHT, _ROW * (len(trials) + 1) + 3),
        column_config={"Candidate": st.column_config.TextColumn(width="large")},
        placeholder=DASH,
        on_select="rerun",
        selection_mode="single-row",
        key=f"candidates-{run.id}",
        alt="Candidates of this run with their state, their figures and the time each took",
    )
    rows = [trials[i] for i in picked["selection"]["rows"] if i < len(trials)]
    if rows:
        _actions(run, rows[0], rows[0].key in kept)
        search_curve.of_candidate(rows[0])
    elif run.trials_done:
        st.caption("Pick a candidate to see it on the trade-offs or to use its model.")
    for t in (t for t in trials if t.state == "failed"):
        refused(f"{t.label}: {t.cause}", t.remedy)


def _table(shown: Field, trials: Sequence[TrialRow], kept: set[str]) -> Styler:
    now = time.time()
    measured = shown.metrics()
    columns: dict[str, object] = {
        "Candidate": [flat(t.label) for t in trials],
        "State": [_WORDS[t.state] for t in trials],
    }
    formats: dict[str, object] = {}
    for name in (m for m in _FIGURES if m in measured):
        figures = shown.values(name)
        found = [figures[t.key].value if t.key in figures else None for t in trials]
        columns[metric(name).label] = pd.Series(found, dtype=float)
        formats[metric(name).label] = partial(show, name)
    took = [(t.finished or now) - t.started if t.started else None for t in trials]
    columns |= {
        "Model": ["kept" if t.key in kept else DASH for t in trials],
        "Time": pd.Series(took, dtype=float),
    }
    formats["Time"] = lambda s: duration(None if s != s else s)
    return pd.DataFrame(columns).style.format(formats)


def _actions(run: RunRow, trial: TrialRow, kept: bool) -> None:
    if trial.state != "done":
        st.caption(f"{md(trial.label)} has no figures yet." if trial.state != "failed" else "Its reason stands below.")
        return
    query = {"run": run.id, "pick": selection.short(trial.key)}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            shell.path("tradeoffs"), label="On the trade-offs", icon=":material/scatter_plot:", query_params=query
        )
        if kept:
            st.page_link(
                shell.path("compare"), label="Compare what it writes", icon=":material/compare:", query_params=query
            )
            st.page_link(
                shell.path("distil"),
                label="Train it",
                icon=":material/school:",
                query_params={"teacher": run.model, "student": "candidate", "student-candidate": f"run:{trial.key}"},
            )
        else:
            make_again.button(run.recipe, trial.prune, trial.key)
    if kept:
        st.code(f"run:{trial.key}", language=None)
