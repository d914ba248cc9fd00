"""A page with nothing to show yet, which says what is going on where something is."""

from __future__ import annotations

import streamlit as st

from core.analysis.remaining import share_done
from core.jobs.waiting import waits_for
from core.registry.formatting import percent
from core.store import RunRow, Store
from pages.frame import home, shell
from pages.frame.states import empty
from pages.frame.text import md
from pages.run import panel


def nothing_yet(title: str, text: str, icon: str, page: str = "start", link: str = "Run the sample study") -> None:
    """What is missing; where runs are going on, those, and how far the first of them is, until they have ended."""
    st.fragment(_looked, run_every=2.0 if _going() else None)(title, text, icon, page, link, bool(_going()))


def _going() -> list[RunRow]:
    found = home.store().runs.find(states=("running",), limit=1)
    return found or home.store().runs.find(states=("queued",), limit=1, oldest_first=True)


def _looked(title: str, text: str, icon: str, page: str, link: str, was_going: bool) -> None:
    going = _going()
    if bool(going) != was_going:
        st.rerun()
    if going:
        run = going[0]
        empty(title, f"{text} {said(run, home.store())}", icon=icon)
        panel.back_to([run], "runs")
    else:
        empty(title, text, shell.path(page), link, icon=icon)


def said(run: RunRow, store: Store) -> str:
    """'Sample study' is running: 3 of 12 measured."""
    if run.state == "queued":
        return f"'{md(run.name, 90)}' is in the queue. {md(waits_for(run, store))}"
    done = f"{run.trials_done} of {run.trials_total} measured" if run.trials_total else percent(share_done(run))
    return f"'{md(run.name, 90)}' is running: {done}."
