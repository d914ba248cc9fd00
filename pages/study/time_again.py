"""Candidates whose times are doubtful are named, and timed again at a click: neither pruned nor judged anew."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.analysis.paired_times import TIMES, busy, disturbed, ratio_of, stray, timed
from core.base.errors import RetortError
from core.jobs import submissions
from core.recipe.results import Result
from core.store import RunRow, Store
from core.store.rows import ACTIVE
from pages.frame import example, home, login
from pages.frame.cached import cached
from pages.frame.states import refused
from pages.frame.text import md, plural
from pages.run import panel

_HELP = "Times it in turns with the dense model, and nothing else. The new times take the place of the earlier ones."
_NAMED = 4


def of_card(candidate: Result) -> None:
    """What is doubtful about the times of a candidate, and the action; nothing where it has no times."""
    times = [m for m in candidate.measurements if timed(m)]
    if not times:
        return
    if marked := next(filter(busy, times), None):
        st.caption(f":material/crop_square: {md(disturbed(marked))}. Its times may be off.")
    if any(map(stray, times)):
        st.caption(":material/timer_off: Timed without the dense model in turns with it: its time cannot be compared.")
    run = home.store().candidates.runs_of(candidate.key)[-1:]
    if run:
        _action(run[0], [candidate.key], "Time again")


def of_run(run: RunRow) -> None:
    """The same for all candidates of a run that has ended; nothing where no time is doubtful."""
    if run.active or not run.trials_done:
        return
    store = home.store()
    found = _doubtful(store, (run.id, store.columns.version((run.id,))))
    if not found:
        return
    names = ", ".join(md(label, 60) for _, label in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    st.caption(
        f":material/crop_square: Times of {plural(len(found), 'candidate')} were taken on a busy machine or without "
        f"the dense model beside them: {names}{more}."
    )
    _action(run.id, [key for key, _ in found], f"Time {plural(len(found), 'candidate')} again")


@cached(64)
def _doubtful(store: Store, run: tuple[str, str]) -> list[tuple[str, str]]:
    """Key and label of the candidates of a run whose times are doubtful."""
    heads = {h.key: h for h in store.columns.heads(run[0])}
    marked: set[str] = set()
    for metric_id in TIMES:
        found = store.columns.timed(run[0], metric_id)
        marked |= {k for k, m in found.items() if busy(m) or (ratio_of(m) is None and not heads[k].baseline)}
    return [(k, h.label) for k, h in heads.items() if k in marked]


def _action(run_id: str, keys: Sequence[str], label: str) -> None:
    """The button, or how far the timing is; nothing for the example, whose models are not here."""
    if example.asked_for():
        return
    model = f"run:{run_id}/{keys[0]}"
    going = home.store().runs.find(kinds=("time",), states=ACTIVE, model=model, limit=1)
    if going:
        panel.live(going[0].id, panel.progress)
    elif login.button("run", label, key=f"time-{run_id}-{keys[0]}", icon=":material/timer:", help=_HELP):
        try:
            submissions.submit_timing(run_id, keys, home.settings(), login.actor())
        except RetortError as error:
            refused(error.cause, error.remedy)
        else:
            st.rerun()
