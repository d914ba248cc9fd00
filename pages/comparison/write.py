"""Texts side by side: each model goes on from the same prompt, shown strictly as text."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.comparison import into_report, saved
from pages.comparison.models import Chosen
from pages.comparison.writing import Writing
from pages.frame import login
from pages.frame.live_answer import answered
from pages.frame.text import md
from pages.frame.tokens import visible

_UNFINISHED = "_compare-texts"
_HEIGHT = 220  # pixels


def section(chosen: Chosen, prompt: str, how: Writing, busy: bool) -> None:
    st.header("Texts side by side", anchor=False)
    go = login.button("run", "Write", type="primary", icon=":material/edit_note:", key="compare-write", disabled=busy)
    say, place = st.empty(), st.empty()
    seen: dict[str, Any] = st.session_state.get(_UNFINISHED, {})
    if seen.get("models") != chosen.references:
        seen = {}
    if go:
        seen = {"models": chosen.references, "prompt": prompt, "texts": {}}
        asked = {"prompt": prompt, **how.asked()}

        def draw(event: dict[str, Any]) -> None:
            if "text" in event:
                seen["texts"][event["text"]["model"]] = event["text"]
                if event["text"]["done"]:  # kept, although something else is clicked before the others are done
                    st.session_state[_UNFINISHED] = seen
                _columns(place, chosen, seen)

        _columns(place, chosen, seen)
        if not answered("generate", {"models": chosen.references, **asked}, say, draw):
            return
        texts = [seen["texts"][i] for i in sorted(seen["texts"])]
        if saved.keep("texts", chosen, asked, {"texts": texts}) is None:
            return
        st.session_state.pop(_UNFINISHED, None)
        seen = {}
    if seen:
        _columns(place, chosen, seen, going=False)
    elif (one := saved.latest("texts", chosen)) is not None:
        by_model = {t["model"]: t for t in one.found["texts"]}
        _columns(place, chosen, {"prompt": str(one.settings["prompt"]), "texts": by_model}, going=False)
        saved.source(one)
        if len(chosen.references) > 1:
            into_report.one(chosen, one)
    else:
        place.caption("Press Write: the models write one after the other, each with the machine to itself.")


def _columns(place: DeltaGenerator, chosen: Chosen, seen: dict[str, Any], going: bool = True) -> None:
    with place.container():
        st.caption(f"After the prompt: {md(visible(seen['prompt'][-160:]))}")
        for column, (number, name) in zip(st.columns(len(chosen.names)), enumerate(chosen.names), strict=True):
            with column:
                st.markdown(f"**{md(name)}**")
                text = seen["texts"].get(number)
                st.code(
                    visible(text["text"], lines=True) if text and text["text"] else " ",
                    language=None,
                    wrap_lines=True,
                    height=_HEIGHT,
                )
                st.caption(_speed(text, going))


def _speed(text: dict[str, Any] | None, going: bool) -> str:
    stopped = "" if going or (text and text["done"]) else "Not finished. "
    if not text:
        return stopped or "Not written yet."
    if not text["tokens"]:
        return "This model ended the text at once." if text["done"] else stopped or "Writing."
    found = f"{text['tokens']} tokens in {text['dtype']}. First token after {1e3 * text['first_seconds']:.0f} ms"
    return stopped + found + (f", then {text['per_second']:.1f} tokens/s." if text["per_second"] else ".")
