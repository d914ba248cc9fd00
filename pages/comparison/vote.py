"""Blind votes: two texts without names, in random order, a vote for the better one, and what the votes show."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.analysis.votes import verdict
from core.jobs import run_notes
from pages.comparison.ahead import MOST, Ahead, pair_of
from pages.comparison.models import Chosen
from pages.frame import home, login
from pages.frame.live_answer import answered
from pages.frame.text import md, plural
from pages.frame.tokens import visible
from pages.run import panel

_OPEN, _NEXT, _AHEAD = "_compare-vote", "_compare-vote-next", "_compare-vote-ahead"
_HOW = {"tokens": 40, "temperature": 0.7, "seed": 1}
_HEIGHT = 220  # pixels


def section(chosen: Chosen, prompts: tuple[str, ...], busy: bool) -> None:
    st.header("Blind vote", anchor=False)
    panel.show_refusal()
    st.caption(
        f"Two texts after each of {plural(len(prompts), 'prompt')}, in random order and without names: which is "
        f"better? They are drawn at temperature {_HOW['temperature']}, so they are not the texts above."
    )
    pair = _pair(chosen)
    models = chosen.references[pair[0]], chosen.references[pair[1]]
    done = home.store().votes.prompts(*models)
    left = [(i, p) for i, p in enumerate(prompts) if p not in done]
    ahead = _ahead(models)
    shown: dict[str, Any] = st.session_state.get(_OPEN, {})
    if shown.get("pair") != models or shown.get("prompt") in done:
        shown = {}
    say = st.empty()
    if left and not shown:
        go = st.session_state.pop(_NEXT, False)
        with say.container():
            label = "Show two texts" if not done else "Show the next two texts"
            go |= login.button("run", label, icon=":material/visibility_off:", key="compare-vote-go", disabled=busy)
        if go and (not busy or ahead.is_ready(left[0][1])):
            say.empty()
            shown = _written(models, *left[0], ahead, say)
    if shown:
        _ballot(shown)
        if not busy:
            ahead.prepare([pair_of(i, p, models) for i, p in left if p != shown["prompt"]][:MOST], login.actor())
    elif not left and prompts:
        st.caption(f":material/check: {'The prompt has' if len(prompts) == 1 else 'All prompts have'} a vote.")
    _result(chosen, pair, bool(done))


def _ahead(models: tuple[str, str]) -> Ahead:
    """What is written for this visitor; nothing of other models stays."""
    known = st.session_state.get(_AHEAD)
    if known is None or known[0] != models:
        known = st.session_state[_AHEAD] = models, Ahead(home.settings(), _HOW)
    found: Ahead = known[1]
    return found


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


def _written(models: tuple[str, str], number: int, prompt: str, ahead: Ahead, say: Any) -> dict[str, Any]:
    """Both texts in an order nobody knows; empty where they could not be written. Nothing is shown while they come."""
    say.caption(":material/hourglass_top: Writing the two texts.")
    pair = ahead.take(prompt)
    if pair is None:
        pair, texts = pair_of(number, prompt, models), {}

        def keep(event: dict[str, Any]) -> None:
            if "text" in event:
                texts[event["text"]["model"]] = event["text"]["text"]

        if not answered("generate", pair.request(_HOW), say, keep):
            return {}
        pair.texts = texts[0], texts[1]
    say.empty()
    found = {"pair": models, "prompt": prompt, "order": list(pair.order), "texts": list(pair.texts)}
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
