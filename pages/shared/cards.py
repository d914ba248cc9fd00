"""Candidates beside the baseline: figures, the honesty bars and where the model lies."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from core.analysis.differences import difference
from core.analysis.honesty import Share, find, shares, verdict
from core.figures import honesty
from core.figures.theme import Theme, method_style
from core.metrics import interval, metric
from core.results import Result
from pages.shared import home, shell, time_again
from pages.shared.charts import STATIC, Settled
from pages.shared.kept import kept
from pages.shared.text import md

FIGURES = ("perplexity", "disk_bytes", "decode_ms")
LETTERS = "ABC"


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
            found = difference(candidate, baseline, metric_id)
            if found is not None:
                evidence += [f"{found.label}: {found.evidence}."] if found.evidence else []
                told = find(candidate, metric_id)
                estimated = ", estimated" if told is not None and told.obtained == "estimated" else ""
                st.metric(
                    f"{found.label}{estimated}",
                    found.shown,
                    found.change,
                    width="content",
                    delta_color={True: "green", False: "red", None: "off"}[found.better],  # type: ignore[arg-type]
                    delta_arrow="off" if found.better is None else ("down" if found.change[0] == "\u2212" else "up"),
                )
    for sentence in evidence:
        st.caption(md(sentence))
    st.markdown(md(verdict(candidate, baseline)))
    found_shares = shares(candidate, baseline)
    ground = shell.ground()
    st.plotly_chart(
        _bars(tuple(found_shares), ground, ground.color(method_style(candidate.method).color)),
        key=f"honesty-{letter}-{candidate.key}",
        theme=None,
        config=STATIC,
        alt=honesty.alt(candidate.label, found_shares),
    )
    time_again.of_card(candidate)
    for note in candidate.notes:
        st.caption(md(note))
    if candidate.saved:
        st.caption("The model, ready for plain transformers:")
        st.code(str(home.store().candidates.folder(candidate.key) / "model"), language=None, wrap_lines=True)


@kept(64)
def _bars(found: tuple[Share, ...], ground: Theme, color: str) -> go.Figure:
    return Settled(honesty.honesty(list(found), ground, color))
