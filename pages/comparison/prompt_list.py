"""Which prompts a comparison goes through: ours, or the user's own, typed or out of a file."""

from __future__ import annotations

import streamlit as st

from core.base.errors import RetortError
from core.catalogue import prompt_files
from core.registry.prompts import MOST_PROMPTS, PROMPTS
from pages.frame import file_input
from pages.frame.states import refused
from pages.frame.text import flat, md, plural
from pages.frame.tokens import visible

_OURS, _TYPED, _FILE = f"{len(PROMPTS)} of Retort's own", "Typed here", "From a file"
_FROM, _OWN, _GIVEN = "compare-prompts-from", "compare-prompts-typed", "_compare-list"
_SHOWN = 5  # prompts of a file


def choose() -> tuple[str, ...]:
    """The prompts; empty where the user's own list has none yet, or cannot be read, which is said."""
    source = st.radio("Prompts", [_OURS, _TYPED, _FILE], key=_FROM, horizontal=True)
    if source == _OURS:
        return PROMPTS
    return _typed() if source == _TYPED else _file()


def put(prompts: tuple[str, ...]) -> None:
    """Makes these the chosen ones, as a saved comparison has them."""
    if prompts == PROMPTS:
        st.session_state[_FROM] = _OURS
    elif any(len(p.splitlines()) > 1 for p in prompts):
        st.session_state[_FROM], st.session_state[_GIVEN] = _FILE, prompts
    else:
        st.session_state[_FROM], st.session_state[_OWN] = _TYPED, "\n".join(prompts)


def _typed() -> tuple[str, ...]:
    text = st.text_area(
        "Your prompts, one a line",
        key=_OWN,
        height=140,
        max_chars=prompt_files.FILE_BYTES,
        placeholder="The heart is a muscle that\nWater boils at",
        help=f"At most {MOST_PROMPTS}, of {prompt_files.LONGEST:,} characters each.",
    )
    if not (text or "").strip():
        return ()
    try:
        return prompt_files.typed(text)
    except RetortError as error:
        refused(error.cause, error.remedy)
        return ()


def _file() -> tuple[str, ...]:
    file_input.ask(
        "compare-prompts-file",
        f"A file with prompts ({', '.join(prompt_files.ENDINGS)}; at most {MOST_PROMPTS} prompts)",
        prompt_files.ENDINGS,
        prompt_files.FILE_BYTES,
        _taken,
    )
    prompts: tuple[str, ...] = st.session_state.get(_GIVEN, ())
    if not prompts:
        st.caption("One prompt on each line of a .txt, or in the column 'prompt' of a .jsonl or .csv.")
        return ()
    first = "; ".join(f"“{md(flat(visible(p), 60), 90)}”" for p in prompts[:_SHOWN])
    more = f", and {len(prompts) - _SHOWN} more" if len(prompts) > _SHOWN else ""
    st.caption(f":material/check: {plural(len(prompts), 'prompt')}: {first}{more}.")
    return prompts


def _taken(name: str, raw: bytes) -> None:
    """Reads what the browser handed over.

    Raises:
        RetortError: it is too large, or no list of prompts.
    """
    st.session_state.pop(_GIVEN, None)
    if len(raw) > prompt_files.FILE_BYTES:
        prompt_files.refuse_large(name)
    st.session_state[_GIVEN] = prompt_files.read(name, raw)
