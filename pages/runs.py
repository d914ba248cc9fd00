"""Runs: what was done, what is going on, and one run in full."""

from pages.frame.shell import guard

guard()

import math
import time

import streamlit as st

from core.store import RunRow, TrialRow
from core.store.rows import RunCounts
from pages.frame import home, shell
from pages.frame.states import empty
from pages.frame.text import md, plural, when, zone
from pages.run import again, detail, filters, lineage, panel, search_curve, table, track
from pages.study import candidates, time_again

PAGE_SIZE = 200


def main() -> None:
    panel.show_refusal()
    run_id = st.query_params.get("run")
    if run_id:
        one(run_id)
    else:
        listing()


def listing() -> None:
    st.title("Runs", anchor=False)
    store = home.store()
    counts = store.runs.counts()
    if counts.total == 0:
        empty(
            "No runs yet",
            "A run appears here as soon as you start a sweep or fetch a model. It goes on when you close this page.",
            shell.path("start"),
            "Run the sample study",
        )
        return
    wanted = filters.chosen(store)
    found = store.runs.count(**wanted)
    if counts.active:
        st.fragment(going_on, run_every=2.0)(counts)
    if not found:
        empty("No run matches", "Choose other filters or clear the search.", icon=":material/search_off:")
        return
    pages = math.ceil(found / PAGE_SIZE)
    page = st.session_state.get("page", 1) if pages > 1 else 1
    page = min(max(1, page), pages)
    runs = store.runs.find(**wanted, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    table.show_table(runs, zone(st.context.timezone), time.time())
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(f"{plural(found, 'run')}, newest first")
        if pages > 1:
            st.pagination(pages, key="page", bind="query-params")


def going_on(before: RunCounts) -> None:
    """What is running and what waits; the whole page anew once a run has started or ended."""
    store = home.store()
    if store.runs.counts() != before:
        st.rerun()
    for run in store.runs.find(states=("running",), limit=3):
        with st.container(border=True, gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.page_link(shell.path("runs"), label=md(run.name, 90), query_params={"run": run.id})
            panel.progress(run, store.trials.of(run.id))


def one(run_id: str) -> None:
    if st.button("All runs", icon=":material/arrow_back:", type="tertiary"):
        to_list()
    run = home.store().runs.get(run_id)
    st.title(md(run.name), anchor=False)
    where = zone(st.context.timezone)
    by = f" by {md(run.started_by)}" if run.started_by else ""
    st.caption(
        f"{panel.kind_word(run.kind)} of {md(run.model)}. Started {when(run.created, where)}{by}. Run {md(run.id)}."
    )
    panel.live(run_id, one_run)
    detail.labels(run)
    lineage.lineage(run)
    again.reproduce(run)
    track.send(run)
    detail.differences(run)
    st.space("small")
    panel.delete_button(run, "one", to_list)


def one_run(run: RunRow, trials: list[TrialRow]) -> None:
    panel.progress(run, trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        panel.tradeoffs_link(run)
        if run.trials_done:
            st.page_link(
                shell.path("report"), label="Make a report", icon=":material/summarize:", query_params={"run": run.id}
            )
        if run.kind == "sweep":
            st.page_link(
                shell.path("sweep"),
                label="Open on the Sweep page",
                icon=":material/tune:",
                query_params={"run": run.id},
            )
        panel.buttons(run, trials, "one")
    search_curve.of_run(run)
    if run.trials_total:
        st.header("Candidates", anchor=False)
        candidates.show_candidates(run, trials)
        time_again.of_run(run)
    st.header("Events", anchor=False)
    panel.events(home.store().events.tail(run.id, limit=100))
    with st.expander("Log", icon=":material/article:", expanded=run.active or run.state == "failed"):
        panel.log_tail(run.id, kilobytes=64, height=420)


def to_list() -> None:
    st.query_params.clear()
    st.rerun()


main()
