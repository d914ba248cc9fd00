"""The home folder this server works on, and its store."""

from __future__ import annotations

import streamlit as st

from core.jobs import api
from core.settings import Settings
from core.store import Store


def settings() -> Settings:
    """Settings from the environment (`RETORT_HOME`, `RETORT_ROOTS`)."""
    return Settings.load()


def store() -> Store:
    """The store of the home, opened once for all sessions."""
    return _store(settings())


@st.cache_resource(show_spinner=False, max_entries=4)
def _store(of: Settings) -> Store:
    return Store(of)


def start_runner() -> None:
    """Makes sure that somebody works on what is queued: after a restart of the machine, say."""
    api.ensure_runner(settings())
