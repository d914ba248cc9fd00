"""Runs: what was done, what is going on, and one run in full."""

from pages.frame.shell import guard

guard()

import math
import time
from datetime import tzinfo

import streamlit as st

from core.analysis.remaining import seconds_taken, share_done
from core.store import RunRow, TrialRow
from pages.frame import home, shell
from pages.frame.states import empty
from pages.frame.text import duration, md, plural, when, zone
from pages.run import again, detail, filters, lineage, panel, track
from pages.study import time_again

PAGE_SIZE = 20


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
    if not found:
        empty("No run matches", "Choose other filters or clear the search.", icon=":material/search_off:")
        return
    pages = math.ceil(found / PAGE_SIZE)
    page = st.session_state.get("page", 1) if pages > 1 else 1
    page = min(max(1, page), pages)
    st.fragment(rows, run_every=2.0 if counts.active else None)(wanted, page, counts.active > 0)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(f"{plural(found, 'run')}, newest first")
        if pages > 1:
            st.pagination(pages, key="page", bind="query-params")


def rows(wanted: filters.RunFilters, page: int, was_active: bool) -> None:
    store = home.store()
    if was_active != (store.runs.counts().active > 0):
        st.rerun()
    found = store.runs.find(**wanted, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    where, now = zone(st.context.timezone), time.time()
    for run in found:  # few elements per row: each costs the server as much as a query
        with st.container(border=True, gap="xxsmall"):
            if st.button(f"**{md(run.name, 90)}**", key=f"open-{run.id}", type="tertiary"):
                st.query_params["run"] = run.id
                st.rerun()  # the whole page: these rows are a fragment
            if run.state == "running":
                st.progress(share_done(run), text=md(run.message, 90))
            facts = ", ".join(p for p in _facts(run, where, now) if p)
            st.markdown(f"{_badge(run)} :small[:gray[{facts}]]")


def _badge(run: RunRow) -> str:
    label, icon, color = panel.state_words(run)
    return f":{color}-badge[{icon} {label}]"


def _facts(run: RunRow, where: tzinfo, now: float) -> tuple[str, ...]:
    """What it is, what came of it, when it was started, how long it took, its tags."""
    outcome = f"{run.trials_done:,} of {run.trials_total:,} measured" if run.trials_total else ""
    taken = None if run.state == "running" else seconds_taken(run, now)
    return (
        f"{panel.kind_word(run.kind)} of {md(run.model, 90)}",
        outcome,
        when(run.created, where, now),
        f"took {duration(taken)}" if taken is not None else "",
        f"tagged {', '.join(md(t, 40) for t in run.tags)}" if run.tags else "",
    )


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


def one_run(run: RunRow, trials: list[TrialRow]) -> None:
    panel.progress(run, trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        panel.buttons(run, trials, "one")
        panel.delete_button(run, "one", to_list)
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
    if run.trials_total:
        st.header("Candidates", anchor=False)
        panel.trials_table(trials)
        time_again.of_run(run)
    st.header("Events", anchor=False)
    panel.events(home.store().events.tail(run.id, limit=100))
    with st.expander("Log", icon=":material/article:", expanded=run.active or run.state == "failed"):
        panel.log_tail(run.id, kilobytes=64, height=420)


def to_list() -> None:
    st.query_params.clear()
    st.rerun()


main()
