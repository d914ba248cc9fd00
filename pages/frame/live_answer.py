"""One way for pages to ask the preview server: what comes is drawn, what fails is a sentence."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import RetortError
from core.jobs.preview import client
from pages.frame import home, login
from pages.frame.states import refused
from pages.frame.text import md

POLL = 2.0
"""Seconds between two looks whether a run still has the machine."""


def run_active() -> bool:
    """Whether a run has the machine, or is about to."""
    return home.store().runs.counts().active > 0


def busy() -> bool:
    """Whether a run has the machine; says so, and comes back by itself when it has ended."""
    if not run_active():
        return False
    st.info(
        "A run is using this machine, so no model is loaded beside it. This page is ready again when it has ended.",
        icon=":material/schedule:",
    )
    st.fragment(_wait, run_every=POLL)()
    return True


def answered(
    op: str,
    request: dict[str, Any],
    say: DeltaGenerator,
    draw: Callable[[dict[str, Any]], None],
    *,
    failed: Callable[[], None] | None = None,
    prefix: str = "",
) -> bool:
    """Asks, and gives every event to `draw` as it comes; True where the answer is whole. Leaving cancels it.

    Args:
        say: where stages and refusals stand; empty after a whole answer.
        failed: draws what belongs to a refusal, under it.
        prefix: words before every stage.
    """
    session = st.session_state.setdefault("_live-session", uuid.uuid4().hex)
    say.caption(":material/hourglass_top: Working on it")
    try:
        events: Any = client.ask(home.settings(), login.actor(), op, request, session=session)
        with closing(events):
            for event in events:
                if "stage" in event:
                    say.caption(f":material/hourglass_top: {prefix}{md(event['stage'])}")
                draw(event)
    except client.Superseded:
        return False
    except client.Busy:
        st.rerun()
    except RetortError as error:
        with say.container():
            refused(error.cause, error.remedy)
            if failed is not None:
                failed()
        return False
    say.empty()
    return True


def _wait() -> None:
    if not run_active():
        st.rerun()
