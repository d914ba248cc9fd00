"""Token by token: where a candidate expects something else than the first model, on one text."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.registry.formatting import percent
from pages.comparison import saved
from pages.comparison.models import Chosen
from pages.comparison.writing import Writing
from pages.frame import login
from pages.frame import tokens as marks
from pages.frame.live_answer import answered
from pages.frame.text import flat, md, plural

_UNFINISHED = "_compare-strips"
_OWN, _GIVEN = "What the first model writes after the prompt", "The prompt itself"


def section(chosen: Chosen, prompt: str, how: Writing, busy: bool) -> None:
    st.header("Token by token", anchor=False)
    st.caption(
        "All models read the same text. At each token, KL says how far another model's expectation of what comes next "
        "is from the first model's: 0 is the same."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.radio("Text to compare on", (_OWN, _GIVEN), key="compare-what", horizontal=True)
        go = login.button("run", "Compare tokens", icon=":material/difference:", key="compare-tokens", disabled=busy)
    say, place = st.empty(), st.empty()
    seen: dict[str, Any] = st.session_state.get(_UNFINISHED, {})
    if seen.get("models") != chosen.references:
        seen = {}
    if go:
        seen = {"models": chosen.references, "strips": []}
        asked: dict[str, Any] = {"text": prompt} if what == _GIVEN else {"prompt": prompt, **how.asked()}

        def draw(event: dict[str, Any]) -> None:
            if "strip" in event:
                seen["strips"].append(event["strip"])
                st.session_state[_UNFINISHED] = seen  # each is whole, although the next may be interrupted
                _strips(place, chosen, seen["strips"])

        place.empty()
        if not answered("forced", {"models": chosen.references, **asked}, say, draw):
            return
        if saved.keep("tokens", chosen, asked, {"strips": seen["strips"]}) is None:
            return
        st.session_state.pop(_UNFINISHED, None)
        seen = {}
    if seen:
        _strips(place, chosen, seen["strips"])
    elif (one := saved.latest("tokens", chosen)) is not None:
        _strips(place, chosen, one.found["strips"], one.id)
        saved.source(one)


def _strips(place: DeltaGenerator, chosen: Chosen, strips: list[dict[str, Any]], of: str = "") -> None:
    """`of`: the id of the saved comparison, whose tokens can be looked at one by one."""
    with place.container():
        st.html(marks.legend())
        for found in strips:
            name = chosen.names[found["model"]]
            with st.container(border=True):
                st.markdown(f"**{md(name)}** beside {md(chosen.names[0])}")
                _metrics(found)
                st.html(marks.strip(found["tokens"], found["first_split"], f"The text, marked for {flat(name)}"))
                if found["cut"]:
                    st.caption(":material/content_cut: The text was too long; only its beginning was read.")
                if of:
                    _detail(chosen, found, of)


def _metrics(found: dict[str, Any]) -> None:
    split, compared = found["first_split"], found["compared"]
    given = sum(t["kl"] is None for t in found["tokens"])
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Mean KL",
            f"{found['mean']:.3f} nats",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="no interval: one text",
            help=f"Over {plural(compared, 'token')} of this one text, computed in {found['dtype']}. Tokens of a text "
            "depend on each other: an interval takes several texts, as a set of prompts has them.",
        )
        st.metric(
            "Agreement",
            percent(found["agreement"] / 100.0),
            width="content",
            delta=f"of {plural(compared, 'token')}",
            delta_color="off",
            delta_arrow="off",
            help="How often both models find the same token likeliest.",
        )
        st.metric(
            "First split",
            "none" if split is None else f"token {split - given + 1}",
            width="content",
            delta="on this text",
            delta_color="off",
            delta_arrow="off",
            help="The first compared token where the candidate would have written another.",
        )


def _detail(chosen: Chosen, found: dict[str, Any], of: str) -> None:
    """The alternatives of one token as a table, for those who do not point with a mouse.

    `of`: the comparison's id, so that another one starts at its own first split.
    """
    tokens = found["tokens"]
    places = [i for i, t in enumerate(tokens) if t["kl"] is not None]
    start = places.index(found["first_split"]) if found["first_split"] is not None else 0
    at = st.selectbox(
        "What was expected at token",
        places,
        index=start,
        width=420,
        key=f"compare-at-{of}-{found['model']}",
        format_func=lambda i: marks.option(i - places[0] + 1, tokens[i]),
    )
    rows = []
    for rank, (one, two) in enumerate(zip(tokens[at]["teacher"], tokens[at]["student"], strict=True), start=1):
        rows.append(
            {
                "Rank": str(rank),
                "First model expects": f"{marks.quoted(one[0])} {percent(one[1], 1)}",
                "Candidate expects": f"{marks.quoted(two[0])} {percent(two[1], 1)}",
            }
        )
    first, other = flat(chosen.names[0]), flat(chosen.names[found["model"]])
    st.dataframe(rows, hide_index=True, alt=f"Five likeliest tokens of {first} and of {other}")
