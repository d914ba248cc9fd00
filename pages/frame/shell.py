"""The frame around every page: the guard, page settings, navigation.

A `pages/` folder lets Streamlit run a page file on its own until some session has called
`st.navigation`. So every page starts with `guard()`, which sends such a run through `enter()`.
"""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import streamlit as st

from core.figures.theme import Theme, theme
from pages.frame import example, example_box, home, login, login_return, network
from pages.frame.cached import cached
from pages.frame.states import boundary

ROOT = Path(__file__).resolve().parents[2]
_ASSETS = Path(__file__).parent / "assets"
_frame = threading.local()  # a script run is one thread; whether it came through the frame belongs to that run

PAGES = {
    "start": ("Start", ":material/home:"),
    "model": ("Model", ":material/deployed_code:"),
    "sensitivity": ("Sensitivity", ":material/grid_on:"),
    "sweep": ("Sweep", ":material/tune:"),
    "tradeoffs": ("Trade-offs", ":material/scatter_plot:"),
    "distil": ("Distil", ":material/school:"),
    "compare": ("Compare", ":material/compare:"),
    "runs": ("Runs", ":material/list_alt:"),
    "report": ("Report", ":material/summarize:"),
}
"""Pages in the order of the menu: file name, title, icon."""


def path(page: str) -> str:
    """The path of a page, as links and `st.switch_page` want it."""
    return str(ROOT / "pages" / f"{page}.py")


def ground() -> Theme:
    """The theme of the browser that looks at this page, for what plotly and images cannot inherit."""
    return theme(st.context.theme.type)


def guard() -> None:
    """First line of every page: goes through the frame where this run came past it."""
    if not getattr(_frame, "entered", False):
        enter()
        st.stop()


def presenting() -> bool:
    """Whether the address asks for slides alone (pages/report.py): then no menu stands above them."""
    return st.query_params.get("present") == "1"


@cached(1)
def _pages() -> dict[str, st.Page]:
    """Streamlit looks at the file of each, so they are made once; every run of the script gets copies."""
    return {
        name: st.Page(path(name), title=title, icon=icon, default=name == "start")
        for name, (title, icon) in PAGES.items()
    }


def enter() -> None:
    """Frame and page. Called by `app.py`, once a run of the script."""
    network.send_at_once()
    # A file of our own as icon: a ":material/...:" one would be fetched from another host.
    st.set_page_config(layout="wide", initial_sidebar_state="collapsed", page_icon=str(_ASSETS / "icon.svg"))
    if not presenting():
        st.logo(str(_ASSETS / f"logo-{ground().name}.svg"), size="large")
    allowed = login.gate()
    pages = {name: copy.copy(page) for name, page in _pages().items()}
    if login.needed():
        pages["account"] = st.Page(login.account, title="Account", icon=":material/account_circle:")
    page = st.navigation(list(pages.values()), position="top" if allowed and not presenting() else "hidden")
    st.set_page_config(page_title=f"{page.title if allowed else 'Sign in'} \u00b7 Retort")
    if not allowed:
        login_return.remember(next(name for name, one in pages.items() if one is page))
        st.stop()
    if link := login_return.remembered():
        st.switch_page(pages[link[0]], query_params=link[1])
    _frame.entered = True
    try:
        with boundary():
            home.start_runner()
            if not presenting() and page is not pages.get("account"):
                login.notice()
                name = next((name for name, one in pages.items() if one is page), "")
                if example.asked_for() and not example_box.notice(name, page.title, path):
                    return
            page.run()
    finally:
        _frame.entered = False
