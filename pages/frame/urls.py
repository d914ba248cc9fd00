"""Choices that live in the address by their key, whatever words the page shows for them.

Streamlit's own binding writes the words. Here the address and the widget follow each other: an address that changed
(a link, back and forward) is taken over by the widget, and a choice is written into the address. A default is not
written, so that arriving at a page adds no step to the browser's history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

Words = Callable[[str], str]


def select(
    label: str, key: str, options: Sequence[str], words: Words, *, default: str | None = None, **look: Any
) -> str | None:
    """A select box; without a `default` it may be left empty."""
    first = default if default in options else None

    def read(told: list[str]) -> str | None:
        return told[0] if told and told[0] in options else first

    _follow(key, read, lambda value: value is None and first is None or value in options)
    found: str | None
    if first is None:
        found = st.selectbox(label, options, index=None, key=key, format_func=words, **look)
    else:
        found = st.selectbox(label, options, key=key, format_func=words, **look)
    _tell(key, [] if found is None or found == first else [found])
    return found


def radio(label: str, key: str, options: Sequence[str], words: Words, **look: Any) -> str:
    """Radio buttons; the first option is the default."""
    _follow(key, lambda told: told[0] if told and told[0] in options else options[0], lambda value: value in options)
    found = st.radio(label, options, key=key, format_func=words, **look) or options[0]
    _tell(key, [] if found == options[0] else [found])
    return found


def several(
    label: str, key: str, options: Sequence[str], words: Words, *, default: Sequence[str] = (), **look: Any
) -> list[str]:
    """Any number of the options; the address has the key once for each.

    A `default` is written as well: it is what happens to be there (the newest study), and a link should name it. Going
    back to the address without it is left alone, or nobody could go further back.
    """
    known = set(options)

    def read(told: list[str]) -> list[str]:
        return [t for t in dict.fromkeys(told) if t in known] or [d for d in default if d in known]

    anew = _follow(key, read, lambda value: set(value) <= known)
    if anew and default and not st.query_params.get_all(key):
        st.session_state.pop(f"_taken-{key}")
    found = list(st.multiselect(label, options, key=key, format_func=words, **look))
    _tell(key, found)
    return found


def _follow(key: str, read: Callable[[list[str]], Any], valid: Callable[[Any], bool]) -> bool:
    """Gives the widget what the address says, where that is news; else leaves it what it has, if there is such.

    Returns whether the widget had nothing that it could keep.
    """
    told = st.query_params.get_all(key)
    seen, taken = f"_address-{key}", f"_taken-{key}"
    anew = key not in st.session_state or not valid(st.session_state[key])
    if anew or told != st.session_state.get(seen):
        # An address that says nothing, or what there is not, stays as it is until something else is chosen.
        st.session_state[key] = st.session_state[taken] = read(told)
        st.session_state[seen] = told
    return anew


def _tell(key: str, wanted: list[str]) -> None:
    """Writes a choice into the address, where it is another one than the address stands for."""
    taken = f"_taken-{key}"
    if st.session_state[key] == st.session_state.get(taken):
        return
    st.session_state[taken] = st.session_state[key]
    st.session_state[f"_address-{key}"] = wanted
    if wanted:
        st.query_params[key] = wanted
    elif key in st.query_params:
        del st.query_params[key]
