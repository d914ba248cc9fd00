"""The list of runs as one table that sorts: what was done, how it stands, what came of it, when and by whom."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.analysis.outcome import best_of_runs
from core.analysis.remaining import seconds_taken
from core.registry.formatting import DASH, show
from core.store import RunRow, Store
from core.store.rows import Judgement
from pages.frame import home, shell, studies
from pages.frame.cached import cached
from pages.frame.text import duration, flat, md, when
from pages.run import panel

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_MOST_HEIGHT = 720
_ROW = 35


def show_table(runs: Sequence[RunRow], where: tzinfo, now: float) -> None:
    """The table, and below it links for the rows that are picked."""
    ids = "".join(r.id for r in runs)
    left_out = [c for c, said in (("By", [r.started_by for r in runs]), ("Tags", [r.tags for r in runs])) if any(said)]
    picked = st.dataframe(
        _styled(runs, where, now, left_out),
        hide_index=True,
        height=min(_MOST_HEIGHT, _ROW * (len(runs) + 1) + 3),
        column_config={
            "Run": st.column_config.TextColumn(width=280),
            "Open": st.column_config.LinkColumn(display_text="Open", width="small", help="In a new tab."),
            "Best candidate": st.column_config.TextColumn(
                width="medium", help="The smallest within +5 % of the baseline's loss; where none is, the best one."
            ),
            "Model": st.column_config.TextColumn(width="medium"),
        },
        placeholder=DASH,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"runs-{zlib.crc32(ids.encode()):x}",  # other rows: nothing is picked among them
        alt="Runs with their state, what came of them, how long they took, and when they were started",
    )
    _links([runs[i] for i in picked["selection"]["rows"] if i < len(runs)])


def _styled(runs: Sequence[RunRow], where: tzinfo, now: float, more: Sequence[str]) -> Styler:
    store = home.store()
    ended = tuple((r.id, r.trials_done, r.finished or 0.0) for r in runs if not r.active and r.trials_done)
    going = tuple((r.id, r.trials_done, 0.0) for r in runs if r.active and r.trials_done)
    found = {**_best(store, ended), **_best(store, going)}
    table = pd.DataFrame(
        {
            "Run": [flat(r.name, 120) for r in runs],
            "Open": [f"?run={r.id}" for r in runs],
            "State": [state(r) for r in runs],
            "Best candidate": [flat(found[r.id].label, 120) if r.id in found else DASH for r in runs],
            "Loss change": pd.Series([_of(found, r).loss_change if r.id in found else None for r in runs], dtype=float),
            "File": pd.Series([_of(found, r).disk_bytes if r.id in found else None for r in runs], dtype=float),
            "Model": [flat(r.model, 120) for r in runs],
            "Took": pd.Series([seconds_taken(r, now) for r in runs], dtype=float),
            "Started": pd.Series([r.created for r in runs], dtype=float),
            **({"By": [flat(r.started_by, 80) for r in runs]} if "By" in more else {}),
            **({"Tags": [flat(", ".join(r.tags), 120) for r in runs]} if "Tags" in more else {}),
        }
    )
    return table.style.format(
        {
            "Loss change": partial(show, "loss_change"),
            "File": partial(show, "disk_bytes"),
            "Took": lambda s: duration(None if s != s else s),
            "Started": lambda s: when(s, where, now),
        }
    )


def _of(found: dict[str, Judgement], run: RunRow) -> Judgement:
    return found[run.id]


def state(run: RunRow) -> str:
    """'Done', 'Running, 3 of 12', 'Done, 1 failed'."""
    label = panel.state_words(run)[0]
    return f"{label}, {run.trials_done:,} of {run.trials_total:,}" if run.active and run.trials_total else label


@cached(16)
def _best(store: Store, runs: tuple[tuple[str, int, float], ...]) -> dict[str, Judgement]:
    """Of these runs, which are other ones once a trial or the run has ended."""
    return best_of_runs(store.columns.judgements([run for run, _, _ in runs])) if runs else {}


def _links(picked: Sequence[RunRow]) -> None:
    """Where the picked rows lead."""
    if not picked:
        st.caption("Pick a row to open it here, two to compare them.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for run in picked[:2]:
            st.page_link(
                shell.path("runs"),
                label=f"Open {md(run.name, 60)}",
                icon=":material/arrow_forward:",
                query_params={"run": run.id},
            )
        if len(picked) == 2 and all(r.kind in studies.KINDS for r in picked):
            st.page_link(
                shell.path("runs"),
                label="Compare the two",
                icon=":material/compare_arrows:",
                query_params={"run": picked[0].id, "other": picked[1].id},
            )
        elif len(picked) > 1:
            st.caption("Two studies can be compared: pick two.")
