"""The same comparison on a set of prompts, so that one text does not decide."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.registry.prompts import PROMPTS
from pages.comparison.models import Chosen
from pages.frame import login
from pages.frame.live_answer import answered
from pages.frame.text import flat, md, plural
from pages.frame.tokens import visible

_KEPT = "_compare-set"


def section(chosen: Chosen, busy: bool) -> None:
    st.header("On a set of prompts", anchor=False)
    st.caption(
        f"The first model goes on from each of {len(PROMPTS)} prompts; the others are compared with it on its texts."
    )
    go = login.button(
        "run", f"Compare on {len(PROMPTS)} prompts", icon=":material/checklist:", key="compare-set", disabled=busy
    )
    say, place = st.empty(), st.empty()
    seen: dict[str, Any] = st.session_state.get(_KEPT, {})
    if seen.get("models") != chosen.references:
        seen = {}
    if go:
        seen = {"models": chosen.references, "rows": [], "results": []}

        def draw(event: dict[str, Any]) -> None:
            for kind, rows in (("row", "rows"), ("result", "results")):
                if kind in event:
                    seen[rows].append(event[kind])
            if "row" in event:
                _rows(place, chosen, seen)

        place.empty()
        if not answered("compare_set", {"models": chosen.references}, say, draw):
            return
        st.session_state[_KEPT] = seen
    if seen:
        _rows(place, chosen, seen)


def _rows(place: DeltaGenerator, chosen: Chosen, seen: dict[str, Any]) -> None:
    with place.container():
        for found in seen["results"]:
            _metrics(chosen, found)
        worst = sorted(seen["rows"], key=lambda r: -r["mean"])
        st.caption("Worst prompts first.")
        st.dataframe(
            [
                {
                    "Prompt": flat(visible(r["prompt"]), 80),
                    "Model": flat(chosen.names[r["model"]], 60),
                    "Mean KL, nats": round(r["mean"], 3),
                    "Agreement, %": round(r["agreement"]),
                    "First model wrote": flat(visible(r["text"]), 160),
                }
                for r in worst
            ],
            hide_index=True,
            alt="Every prompt with the mean KL and the agreement of each candidate, worst first",
        )


def _metrics(chosen: Chosen, found: dict[str, Any]) -> None:
    st.markdown(f"**{md(chosen.names[found['model']])}** beside {md(chosen.names[0])}")
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Mean KL",
            f"{found['mean']:.3f} nats",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="one prompt" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}",
            help=f"Mean over {plural(found['prompts'], 'prompt')}. Below it: its 95 % bootstrap interval over prompts.",
        )
        st.metric(
            "Agreement",
            f"{found['agreement']:.0f} %",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta=f"of {plural(found['compared'], 'token')}",
            help="How often both models find the same token likeliest.",
        )
