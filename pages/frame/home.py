"""The home folder this server works on, and its store."""

from __future__ import annotations

import streamlit as st

from core.base.errors import RetortError
from core.base.roles import check
from core.base.settings import Settings
from core.jobs import actions
from core.store import Store
from pages.frame import example, login
from pages.frame.cached import cached


def settings() -> Settings:
    """Settings from the environment (`RETORT_HOME`, `RETORT_ROOTS`), for somebody who may look at this page.

    Raises:
        RetortError: see `login.actor`.
    """
    login.actor()  # nobody else learns where anything lies
    return Settings.load()


def store() -> Store:
    """The store of the home, opened once for all sessions; that of the example where the address names it.

    It only reads: what changes something is in core.jobs.

    Raises:
        RetortError: whoever looks at this page may not any more.
    """
    try:
        check(login.actor(), "look")
    except RetortError:
        st.rerun()  # from the frame on, which says why; does nothing in a callback
        raise
    found = Settings.load()
    return example.store(found) if example.asked_for() else _store(found)


@cached(4)
def _store(of: Settings) -> Store:
    return Store(of, read_only=True)


def start_runner() -> None:
    """Makes sure that somebody works on what is queued: after a restart of the machine, say."""
    if store().runs.counts().active:
        actions.ensure_runner(settings())
