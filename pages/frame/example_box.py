"""Where the finished study that comes with Retort is offered, and what stands above it while it is shown."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.base.errors import RetortError
from core.jobs import submissions
from core.recipe.names import model_name
from pages.frame import example, home, login
from pages.frame.states import boundary, refused
from pages.frame.text import md, plural

Path = Callable[[str], str]
"""The path of a page, by its name."""


def offer(path: Path) -> None:
    """A box that leads to its charts and its report; nothing where none came with this Retort."""
    if not example.is_here():
        return
    with boundary(), st.container(border=True):
        st.header("Look at a finished study first", anchor=False)
        found = example.bundle()
        many = plural(len(found.results) - 1, "candidate")
        st.markdown(
            f"{many} of {md(model_name(str(found.run['model'])))}. {md(found.said)} Its charts and its report work as "
            "those of your own studies will.",
            width=760,
        )
        with st.container(horizontal=True):
            for page, label, icon in (
                ("tradeoffs", "See its trade-offs", ":material/scatter_plot:"),
                ("report", "Read its report", ":material/summarize:"),
            ):
                st.page_link(path(page), label=label, icon=icon, query_params={"run": example.RUN})


def notice(page: str, title: str, path: Path) -> bool:
    """Says above a page that what it shows is the example, and offers to measure it here.

    Returns whether the page can show it: those that need a model, or the list of runs, cannot.
    """
    can = page in example.PAGES
    if not can:
        st.title(title, anchor=False)
    with st.container(border=True):
        st.markdown(f":material/info: **{md(example.bundle().said)}**")
        if not can:
            st.markdown(
                f"{title} needs its models, which do not come with Retort: run it here, and they are."
                if page != "runs"
                else "It is none of your runs: its charts and its report are all there is of it."
            )
        with st.container(horizontal=True, vertical_alignment="center"):
            if login.button(
                "run",
                "Run it here",
                key="example-here",
                icon=":material/play_arrow:",
                help="Measures the same study on this machine. Its models are then here too.",
            ):
                try:
                    run_id = submissions.submit_with_samples(example.recipe(), home.settings(), login.actor())
                except RetortError as error:
                    refused(error.cause, error.remedy)
                else:
                    st.switch_page(path("sweep"), query_params={"run": run_id})
            for other, label in (("tradeoffs", "Its trade-offs"), ("report", "Its report")):
                if other != page:
                    st.page_link(path(other), label=label, query_params={"run": example.RUN})
            st.page_link(path("start"), label="Leave the example", icon=":material/close:")
    return can
