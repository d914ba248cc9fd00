"""Pages under Streamlit's AppTest, each test with a home of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.base.settings import Settings
from core.store import Store

ROOT = Path(__file__).resolve().parents[2]
Opens = Callable[..., AppTest]


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The home the pages see; no runner is started, so that what is queued stays queued."""
    monkeypatch.setenv("RETORT_HOME", str(home.home))
    monkeypatch.delenv("RETORT_ROOTS", raising=False)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # AppTest puts the page in its place
    monkeypatch.chdir(ROOT)  # Streamlit reads .streamlit/config.toml from here
    monkeypatch.setattr("core.jobs.actions._start_runner", lambda *_: None)  # every way to a runner leads through it
    yield home
    assert not (home.home / "runner.log").exists(), "a test of a page has started a runner"
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings)


@pytest.fixture
def opens(settings: Settings) -> Opens:
    """`opens("runs", run=ID)` gives a page as a visitor with that link sees it."""

    def go(page: str = "start", **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).run()
        if page != "start":
            app.switch_page(f"pages/{page}.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return go


def words(app: AppTest) -> str:
    """Everything a page says, in one string."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "error", "warning", "info", "text", "code")
    said = [str(e.value) for kind in kinds for e in getattr(app, kind)]
    said += [str(getattr(e, "title", "")) for e in app.error]
    return "\n".join(said)


def markup(app: AppTest) -> str:
    """What a page says where markdown is rendered, without the marks that are escaped there."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "error", "warning", "info")
    return re.sub(r"\\.", "", "\n".join(str(e.value) for kind in kinds for e in getattr(app, kind)))


def links(app: AppTest) -> dict[str, str]:
    """The links of a page to pages, by what they say: the query each leads to."""
    return {e.proto.label: e.proto.query_string for e in app.get("page_link")}
