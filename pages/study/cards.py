"""Candidates beside the baseline: figures, the bars of promised against measured and where the model lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import plotly.graph_objects as go
import streamlit as st

from core.analysis.differences import Difference, difference
from core.analysis.promised_vs_measured import Share, find, shares, verdict
from core.figures import promised_vs_measured
from core.figures.theme import Theme, method_style
from core.recipe.results import Result
from core.registry.formatting import MINUS, interval
from core.registry.metrics import metric
from pages.frame import home, shell
from pages.frame.cached import cached
from pages.frame.charts import STATIC, Settled
from pages.frame.text import md
from pages.study import make_again, time_again

FIGURES = ("perplexity", "disk_bytes", "decode_ms")
LETTERS = "ABC"
_COLOURS: dict[bool | None, Literal["green", "red", "off"]] = {True: "green", False: "red", None: "off"}


def row(candidates: Sequence[Result], baselines: dict[str, Result], quality: str) -> None:
    """Up to three candidates side by side, each against the baseline of its own run."""
    figures = tuple(dict.fromkeys((quality, *FIGURES)))
    for column, letter, candidate in zip(st.columns(len(candidates)), LETTERS, candidates, strict=False):
        with column, st.container(border=True, height="stretch"):
            card(letter, candidate, baselines.get(candidate.baseline_key or ""), figures)


def card(letter: str, candidate: Result, baseline: Result | None, figures: tuple[str, ...]) -> None:
    st.markdown(f"### {letter}. {md(candidate.label)}", anchors=False)
    if baseline is None:
        st.caption("Its baseline is gone, so there is nothing to compare it with.")
        return
    evidence = [
        f"{metric(m.metric).label}: {found} (95 % interval)."
        for m in candidate.measurements
        if m.metric in figures and metric(m.metric).role == "quality" and (found := interval(m))
    ]
    with st.container(horizontal=True):
        for metric_id in figures:
            differs = difference(candidate, baseline, metric_id)
            if differs is not None:
                evidence += [f"{differs.label}: {differs.evidence}."] if differs.evidence else []
                told = find(candidate, metric_id)
                estimated = ", estimated" if told is not None and told.obtained == "estimated" else ""
                st.metric(
                    f"{differs.label}{estimated}",
                    differs.shown,
                    differs.change,
                    width="content",
                    delta_color=_COLOURS[differs.better],
                    delta_arrow=_arrow(differs),
                )
    for sentence in evidence:
        st.caption(md(sentence))
    st.markdown(md(verdict(candidate, baseline)))
    found_shares = shares(candidate, baseline)
    ground = shell.ground()
    st.plotly_chart(
        _bars(tuple(found_shares), ground, ground.color(method_style(candidate.method).color)),
        key=f"promised-{letter}-{candidate.key}",
        theme=None,
        config=STATIC,
        alt=promised_vs_measured.alt(candidate.label, found_shares),
    )
    time_again.of_card(candidate)
    for note in candidate.notes:
        st.caption(md(note))
    if candidate.saved:
        st.caption("The model, ready for plain transformers:")
        st.code(str(home.store().candidates.folder(candidate.key) / "model"), language=None, wrap_lines=True)
    else:
        make_again.button(candidate.recipe, candidate.prune, f"card-{candidate.key}")


@cached(64)
def _bars(found: tuple[Share, ...], ground: Theme, color: str) -> go.Figure:
    return Settled(promised_vs_measured.bars(list(found), ground, color))


def _arrow(change: Difference) -> Literal["up", "down", "off"]:
    if change.better is None:
        return "off"
    return "down" if change.change[0] == MINUS else "up"
