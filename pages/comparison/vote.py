"""Blind votes: two texts without names, in random order, a vote for the better one, and what the votes show."""

from __future__ import annotations

import random
from typing import Any

import streamlit as st

from core.analysis.votes import verdict
from core.jobs import run_notes
from core.registry.prompts import PROMPTS
from pages.comparison.models import Chosen
from pages.frame import home, login
from pages.frame.live_answer import answered
from pages.frame.text import md
from pages.frame.tokens import visible
from pages.run import panel

_OPEN, _NEXT = "_compare-vote", "_compare-vote-next"
_TOKENS, _TEMPERATURE = 40, 0.7
_HEIGHT = 220  # pixels


def section(chosen: Chosen, busy: bool) -> None:
    st.header("Blind vote", anchor=False)
    panel.show_refusal()
    st.caption(
        f"Two texts after each of {len(PROMPTS)} prompts, in random order and without names: which is better? "
        f"They are drawn at temperature {_TEMPERATURE}, so they are not the texts above."
    )
    pair = _pair(chosen)
    first, second = (chosen.references[i] for i in pair)
    done = home.store().votes.prompts(first, second)
    left = [(i, p) for i, p in enumerate(PROMPTS) if p not in done]
    shown: dict[str, Any] = st.session_state.get(_OPEN, {})
    if shown.get("pair") != (first, second):
        shown = {}
    say = st.empty()
    asked = st.session_state.pop(_NEXT, False) and not busy
    if left and not shown:
        with say.container():
            label = "Show two texts" if not done else "Show the next two texts"
            asked |= login.button("run", label, icon=":material/visibility_off:", key="compare-vote-go", disabled=busy)
    if left and asked and not shown:
        say.empty()
        shown = _drawn(first, second, *left[0], say)
    if shown:
        _ballot(shown)
    elif not left:
        st.caption(f":material/check: All {len(PROMPTS)} prompts have a vote.")
    _result(chosen, pair, bool(done))


def _pair(chosen: Chosen) -> tuple[int, int]:
    """Places of the two models: the first one, and the candidate that is voted on."""
    if len(chosen.references) == 2:
        return 0, 1
    second = st.selectbox(
        "Candidate to vote on",
        range(1, len(chosen.references)),
        key="compare-vote-on",
        width=420,
        format_func=lambda i: chosen.names[i],
    )
    return 0, int(second)


def _drawn(first: str, second: str, number: int, prompt: str, say: Any) -> dict[str, Any]:
    """Both texts in an order nobody knows; empty where they could not be written. Nothing is shown while they come."""
    order = random.sample((first, second), 2)
    texts: dict[int, str] = {}

    def keep(event: dict[str, Any]) -> None:
        if "text" in event:
            texts[event["text"]["model"]] = event["text"]["text"]

    request = {"models": order, "prompt": prompt, "tokens": _TOKENS, "temperature": _TEMPERATURE, "seed": number}
    if not answered("generate", request, say, keep):
        return {}
    found = {"pair": (first, second), "prompt": prompt, "order": order, "texts": [texts[0], texts[1]]}
    st.session_state[_OPEN] = found
    return found


def _ballot(shown: dict[str, Any]) -> None:
    st.caption(f"After the prompt: {md(visible(shown['prompt']))}")
    same = shown["texts"][0] == shown["texts"][1]
    for number, column in enumerate(st.columns(2, gap="medium")):
        with column:
            st.markdown(f"**Text {number + 1}**")
            text = visible(shown["texts"][number], lines=True)
            st.code(text or " ", language=None, wrap_lines=True, height=_HEIGHT)
            login.button(
                "note",
                f"Text {number + 1} is better",
                key=f"compare-vote-{number}",
                disabled=same,
                width="stretch",
                on_click=_vote,
                args=(shown, shown["order"][number]),
            )
    login.button("note", "No preference", key="compare-vote-none", on_click=_vote, args=(shown, None))
    if same:
        st.caption("Both texts are the same.")


def _vote(shown: dict[str, Any], preferred: str | None) -> None:
    panel.do(run_notes.vote, *shown["pair"], shown["prompt"], preferred)
    st.session_state.pop(_OPEN, None)
    st.session_state[_NEXT] = True


def _result(chosen: Chosen, pair: tuple[int, int], any_votes: bool) -> None:
    if not any_votes:
        return
    with st.expander("Result so far", icon=":material/how_to_vote:"):
        first, second = (chosen.references[i] for i in pair)
        votes = home.store().votes.tally(first, second)
        one, other = (chosen.names[i] for i in pair)
        st.markdown(md(verdict(one, votes.first, other, votes.second, votes.neither), 500))
        login.button(
            "delete",
            "Forget these votes",
            icon=":material/delete:",
            key="compare-vote-clear",
            on_click=panel.do,
            args=(run_notes.forget_votes, first, second),
        )
