"""Which models the Compare page compares: a first one, and one or two candidates beside it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.base.errors import RetortError
from core.base.text import without_middle
from core.recipe.comparisons import candidate_keys
from core.store import RunRow
from core.store.rows import CandidateRow
from pages.forms import models
from pages.frame import home, shell, studies
from pages.frame.states import empty
from pages.frame.text import flat, md
from pages.study import cards, selection

MOST_BESIDE = 2


@dataclass(frozen=True)
class Chosen:
    """References of the models, the first one first, and how each is called."""

    references: tuple[str, ...]
    names: tuple[str, ...]

    def tasks(self) -> list[str]:
        """What each can do, as `core.catalogue.shape` calls it. Raises RetortError for one that is no model."""
        return [models.look(r)[1].shape.task for r in self.references]


def choose() -> Chosen | None:
    """The choice, which starts with what the link or Trade-offs chose; None where there is nothing to choose."""
    candidates = models.kept()
    ready, kept = models.ready(home.settings()), list(candidates)[: models.MOST]
    labels = {reference: r.label for reference, r in candidates.items()}
    if not ready and not kept:
        empty(
            "No model to compare yet",
            "Fetch the sample model and run a study that keeps its candidates; they can then write side by side here.",
            shell.path("start"),
            "Run the sample study",
            icon=":material/compare:",
        )
        return None
    run = _run()
    rows = {r.key: r for r in home.store().candidates.rows(run_id=run.id) if not r.baseline} if run else {}
    first, beside = _defaults(run, rows, ready, kept)
    st.session_state.setdefault("compare-first", first)
    left, right = st.columns(2, gap="medium")
    with left:
        reference = st.selectbox(
            "First model",
            list(dict.fromkeys([first, *_known("compare-first"), *ready, *kept])),
            key="compare-first",
            accept_new_options=True,
            format_func=lambda r: _name(r, labels),
            help="The others are compared with it. Or type path:/a/folder.",
        )
    others = [r for r in dict.fromkeys([*beside, *kept, *ready]) if r != reference]
    known = [r for r in st.session_state.get("compare-beside", beside) if r != reference]
    st.session_state["compare-beside"] = known
    with right:
        selected = st.multiselect(
            "Compared with",
            list(dict.fromkeys([*known, *others])),
            key="compare-beside",
            max_selections=MOST_BESIDE,
            accept_new_options=True,
            format_func=lambda r: _name(r, labels),
            placeholder="Choose one or two models",
            on_change=_remember,
            help="Candidates whose model was kept, samples, and folders. Or type path:/a/folder.",
        )
    _not_kept(rows)
    if not reference:
        return None
    together = tuple(dict.fromkeys([reference, *selected]))
    return Chosen(together, tuple(f"{cards.LETTERS[i]}. {_name(r, labels)}" for i, r in enumerate(together)))


def _known(key: str) -> list[str]:
    """What the widget has: a saved comparison may name a model that is in no list any more."""
    value = st.session_state.get(key)
    return [value] if isinstance(value, str) else []


def _run() -> RunRow | None:
    """The study of the link, or the one looked at last."""
    wanted = st.query_params.get("run") or st.session_state.get("_study")
    found = studies.recent()
    return next((r for r in found if r.id == wanted), None) or next((r for r in found if r.trials_done), None)


def _defaults(
    run: RunRow | None, rows: dict[str, CandidateRow], ready: list[str], kept: list[str]
) -> tuple[str, list[str]]:
    """The model of the study, and its chosen candidates; without a choice the two kept last.

    Where that model is gone or does something else (an encoder that became a classifier), the first candidate
    stands for it.
    """
    saved = [key for key, r in rows.items() if r.saved]
    of_run = [f"run:{k}" for k in selection.get(saved)] or [f"run:{k}" for k in reversed(saved)]
    alike = [f"run:{k}" for k in saved if f"run:{k}" in kept]
    if run and run.model in {*ready, *kept} and not (alike and _task(run.model) != _task(alike[0])):
        first = run.model
    else:
        first = (alike or ready or kept)[0]
    beside = [r for r in of_run or kept if r != first and r in kept][:MOST_BESIDE]
    return first, beside


def _task(reference: str) -> str:
    """What a model can do; '' where that cannot be told."""
    try:
        return models.look(reference)[1].shape.task
    except RetortError:
        return ""


def _remember() -> None:
    """The choice goes into the link and to the other pages."""
    selection.put(candidate_keys(st.session_state["compare-beside"]))


def _not_kept(rows: dict[str, CandidateRow]) -> None:
    lost = [rows[k].label for k in selection.get(rows) if not rows[k].saved]
    if lost:
        st.caption(
            f":material/info: Measured, but its model was not kept: {md('; '.join(lost), 200)}. "
            "Run it again with all models kept to compare it here."
        )


def _name(reference: str, labels: dict[str, str]) -> str:
    if reference in labels:
        return without_middle(flat(labels[reference], 400), 90)
    return flat(reference.rstrip("/").rpartition("/")[2] if reference.startswith("path:") else reference, 70)
