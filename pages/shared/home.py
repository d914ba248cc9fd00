"""The home folder this server works on, and its store."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.jobs import api
from core.roles import check
from core.settings import Settings
from core.store import Store
from pages.shared import login


def settings() -> Settings:
    """Settings from the environment (`RETORT_HOME`, `RETORT_ROOTS`), for whoever looks at this page.

    Raises:
        RetortError: see `login.actor`.
    """
    return replace(Settings.load(), actor=login.actor())


def store() -> Store:
    """The store of the home, opened once for all sessions. It only reads: what changes something is in core.jobs.

    Raises:
        RetortError: whoever looks at this page may not.
    """
    check(login.actor(), "look")
    return _store(Settings.load())


@st.cache_resource(show_spinner=False, max_entries=4)
def _store(of: Settings) -> Store:
    return Store(of, read_only=True)


def start_runner() -> None:
    """Makes sure that somebody works on what is queued: after a restart of the machine, say."""
    api.ensure_runner(settings())
