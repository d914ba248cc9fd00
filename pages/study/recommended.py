"""What follows from a study, first of all: the recommendation, the limit it rests on, and what to do next."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st

from core.analysis.given_up import LOSS, allowed
from core.analysis.recommendation import Recommendation
from core.analysis.recommendation_words import Advice, advice, sentences
from core.store import RunRow
from pages.frame import shell
from pages.frame.text import md
from pages.study import selection

SHARE = "within"
"""Name of the limit in the address, in percent."""
_LARGEST = 1_000.0


def share() -> float | None:
    """How much quality may be given up, as the address has it; None: the usual."""
    try:
        percent = float(st.query_params[SHARE])
    except (KeyError, ValueError):
        return None
    return percent / 100.0 if 0.0 <= percent <= _LARGEST else None


def ask(measured: Container[str]) -> None:
    """The limit that a reader may set on what is given up, in percent of the loss or in points of accuracy."""
    what = "Loss may grow by (%)" if LOSS in measured else "Points of accuracy that may be lost"
    usual = allowed(LOSS if LOSS in measured else "accuracy")
    st.number_input(
        what,
        0.0,
        _LARGEST,
        100.0 * usual,
        step=1.0,
        format="%g",
        key=SHARE,
        bind="query-params",
        width=300,
        help="The recommendation is the smallest candidate that keeps this limit. Limits on size, time and other "
        "figures take its place.",
    )


def words(told: Recommendation, run: RunRow, saved: Container[str], level: int = 2) -> None:
    """The sentence, and the step it leads to.

    Args:
        saved: keys of the candidates that are kept on disk; only such a one can be trained.
        level: of the heading that the first sentence is.
    """
    first, *rest = sentences(told)
    st.markdown(f"{'#' * level} :material/recommend: {md(first, 500)}", anchors=False)
    if rest:
        st.markdown(md(" ".join(rest), 900))
    step = advice(told)
    with st.container(horizontal=True, vertical_alignment="center"):
        if step is not None:
            st.caption(f"Next: {md(step.sentence, 300)}", width="content")
            _link(step, run, saved)
        if told.shown:
            picked = [("pick", selection.short(k)) for k in told.shown]
            st.page_link(
                shell.path("report"),
                label="Make a report of it",
                icon=":material/summarize:",
                query_params=[("run", run.id), *picked],
            )


def _link(step: Advice, run: RunRow, saved: Container[str]) -> None:
    if step.kind != "recover":
        st.page_link(shell.path("sweep"), label="New sweep", icon=":material/tune:", query_params={"model": run.model})
    elif step.key in saved:
        st.page_link(
            shell.path("distil"),
            label="Recover it",
            icon=":material/school:",
            query_params={"teacher": run.model, "learner": f"run:{step.key}"},
        )
