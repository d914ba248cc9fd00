"""One run as every page shows it: state, progress, time left, what it said, and what can be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from core.analysis.estimate import read_probe
from core.analysis.remaining import seconds_taken, share_done, time_left
from core.base.errors import RetortError
from core.jobs import actions, resumable, submissions
from core.jobs.damaged import damaged
from core.jobs.logs import log_path, tail
from core.jobs.waiting import waits_for
from core.registry.formatting import significant
from core.store import EventRow, RunRow, TrialRow
from pages.frame import home, login, shell, yardstick
from pages.frame.states import boundary, refused
from pages.frame.text import about, duration, flat, md, when, zone
from pages.frame.tokens import visible

POLL_SECONDS = 1.5
_STATES = {
    "queued": ("Waiting", ":material/schedule:", "gray"),
    "running": ("Running", ":material/play_circle:", "blue"),
    "done": ("Done", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
    "cancelled": ("Cancelled", ":material/do_not_disturb_on:", "gray"),
}
_KINDS = {
    "sweep": "Sweep",
    "recipe": "Recipe",
    "fetch": "Download",
    "download": "Download",
    "probe": "Timing",
    "time": "Timing",
}
_LEVELS = {"info": ":material/info:", "warning": ":material/warning:", "error": ":material/error:"}


def state_words(run: RunRow) -> tuple[str, str, str]:
    """Label, icon and colour of a run's state; a run with failed trials says so."""
    if run.state == "running" and run.cancel_requested:
        return "Stopping", ":material/pause_circle:", "orange"
    if run.state == "done" and run.trials_failed:
        return f"Done, {run.trials_failed} failed", ":material/warning:", "orange"
    return _STATES[run.state]


def kind_word(kind: str) -> str:
    return _KINDS.get(kind, kind.capitalize())


def badge(run: RunRow) -> None:
    label, icon, color = state_words(run)
    st.badge(label, icon=icon, color=color)  # type: ignore[arg-type]


def back_to(runs: Sequence[RunRow], page: str) -> None:
    """A line for each run that is going on, with the way back to it."""
    for run in runs:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            badge(run)
            st.markdown(md(run.name))
            if st.button("Back to it", key=f"back-{run.id}", icon=":material/arrow_forward:"):
                st.switch_page(shell.path(page), query_params={"run": run.id})


def live(run_id: str, body: Callable[[RunRow, list[TrialRow]], None]) -> None:
    """Draws `body` for a run, again every second or so while it is active; then the whole page once."""
    active = home.store().runs.get(run_id).active
    st.fragment(_poll, run_every=POLL_SECONDS if active else None)(run_id, active, body)


def _poll(run_id: str, was_active: bool, body: Callable[[RunRow, list[TrialRow]], None]) -> None:
    with boundary():
        store = home.store()
        run = store.runs.get(run_id)
        if was_active != run.active:
            st.rerun()
        body(run, store.trials.of(run_id))


def progress(run: RunRow, trials: Sequence[TrialRow]) -> None:
    """Badge, bar, one line on where it is; for a failed run the cause and the remedy."""
    now = time.time()
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.markdown(md(_line(run, trials, now)))
    if run.active:
        st.progress(share_done(run), text=md(waits_for(run, home.store()) or run.message))
    if run.state == "failed":
        refused(run.cause or "The run failed.", run.remedy or "Read its log, then retry it.")
    broken = [] if run.active else damaged(run.id, home.settings(), home.store())
    if broken:
        more = f" {len(broken) - 1} more of what this run saved is damaged too." if len(broken) > 1 else ""
        refused(f"{broken[0]}{more}", "'Make again' does so from the recipe; what is whole stays as it is.")


def _line(run: RunRow, trials: Sequence[TrialRow], now: float) -> str:
    parts = []
    if run.trials_total:
        parts.append(f"{run.trials_done} of {run.trials_total} measured")
    taken = seconds_taken(run, now)
    if taken is not None:
        parts.append(f"{duration(taken)} so far" if run.active else f"took {duration(taken)}")
    if run.state == "running":
        parts.append(_left(run, trials, now))
    return ", ".join(p for p in parts if p)


def _left(run: RunRow, trials: Sequence[TrialRow], now: float) -> str:
    """The one estimate of a run, in words."""
    left = time_left(run, trials, now, home.store().series.last(run.id, "seconds_left"))
    if left is None:
        return "time left known once a candidate is measured" if trials else ""
    return f"{about(left.seconds, at_least=left.at_least)} left"


def buttons(run: RunRow, trials: Sequence[TrialRow], key: str) -> None:
    """A button for what this run allows now: cancel, or, where that can help, retry or resume."""
    if run.active:
        login.button(
            "run",
            "Stopping" if run.cancel_requested else "Cancel",
            key=f"cancel-{key}",
            icon=":material/stop_circle:",
            disabled=run.cancel_requested,
            on_click=do,
            args=(actions.cancel, run.id),
            help="What is finished is kept, and it can go on later.",
        )
        return
    broken = damaged(run.id, home.settings(), home.store())
    if broken or resumable.can_help(run, trials):
        usual = {"failed": "Retry", "cancelled": "Resume"}.get(run.state, "Retry what failed")
        label = "Make again" if broken else usual
        login.button(
            "run", label, key=f"retry-{key}", icon=":material/replay:", on_click=do, args=(actions.retry, run.id)
        )


def delete_button(run: RunRow, key: str, after: Callable[[], None]) -> None:
    """A button that asks first."""
    with st.popover("Delete", **login.locked("delete", {"icon": ":material/delete:", "disabled": run.active})):
        st.markdown("Delete this run with its log and the models only it has? This cannot be undone.")
        if st.button("Delete for good", key=f"delete-{key}", type="primary"):
            do(actions.delete, run.id)
            after()


def do(action: Callable[..., object], *values: object) -> None:
    """Runs an action of core.jobs with these values; a refusal is shown at the top of the next run of the script."""
    try:
        action(*values, home.settings(), login.actor())
    except RetortError as error:
        st.session_state["_refused"] = (error.cause, error.remedy)


def show_refusal() -> None:
    """Shows what the last click was refused for, once."""
    if refusal := st.session_state.pop("_refused", None):
        refused(*refusal)


def log_tail(run_id: str, kilobytes: int = 16, height: int = 280) -> None:
    """The end of the log, as text."""
    text = tail(log_path(home.settings().run_folder(run_id)), kilobytes)
    if text.strip():
        st.code(visible(text, lines=True), language=None, height=height, wrap_lines=True)
    else:
        st.caption("The log is empty so far.")


def events(rows: Sequence[EventRow]) -> None:
    """What the run recorded for its reader, newest first."""
    where = zone(st.context.timezone)
    if not rows:
        st.caption("Nothing to report.")
    for row in reversed(rows):
        st.markdown(f"{_LEVELS.get(row.level, '')} {md(row.message, 500)} :gray[{when(row.time, where)}]")


def trials_table(trials: Sequence[TrialRow], height: int | Literal["content"] = "content") -> None:
    """Every trial with its state and time; causes of failures below."""
    now = time.time()
    words = {"queued": "Waiting", "running": "Running", "done": "Done", "failed": "Failed"}
    st.dataframe(
        {
            "Candidate": [flat(t.label) for t in trials],
            "State": [words[t.state] for t in trials],
            "Time": [duration((t.finished or now) - t.started if t.started else None) for t in trials],
        },
        hide_index=True,
        height=height,
        column_config={"Candidate": st.column_config.TextColumn(width="medium")},
        alt="Candidates of this run with their state and the time each took",
    )
    for t in (t for t in trials if t.state == "failed"):
        refused(f"{t.label}: {t.cause}", t.remedy)


def tradeoffs_link(run: RunRow) -> None:
    if run.trials_done:
        page, query = shell.path("tradeoffs"), [("run", i) for i in (run.id, *yardstick.joined(run))]
        st.page_link(page, label="Open the trade-offs", icon=":material/scatter_plot:", query_params=query)


def machine_timing(key: str, basis: str = "") -> None:
    """What estimates rest on: when this machine was timed, and whether it was busy then.

    Where it never was, was busy, or nobody knows when, a button has it timed (again), and how far that is.
    """
    probe = read_probe(home.settings())
    if probe is None:
        st.caption("Time: this machine has not been timed yet.")
    else:
        taken = f", timed {when(probe.taken, zone(st.context.timezone))}" if probe.taken is not None else ""
        st.caption(f"Time: {basis}{taken}." if basis else f"This machine was timed{taken.replace(', timed', '')}.")
    if probe is not None and probe.contended:
        st.caption(
            f":material/crop_square: Other work kept {significant(probe.other_cpu_cores, 2)} cores busy while this "
            "machine was timed, so times may be shorter than said. Time it again when it is quiet."
        )
    if probe is not None and probe.taken is not None and not probe.contended:
        return
    going = home.store().runs.find(kinds=("probe",), states=("queued", "running"), limit=1)
    if going:
        live(going[0].id, progress)
    elif login.button(
        "run",
        "Time this machine" if probe is None else "Time this machine again",
        key=f"probe-{key}",
        icon=":material/timer:",
        help="Takes about 20 seconds.",
    ):
        submissions.submit_probe(home.settings(), login.actor())
        st.rerun()
