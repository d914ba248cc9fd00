"""One yardstick a model: what its latest study was measured by is taken over, so that all points join one chart."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.base.errors import RetortError
from core.recipe.recipe import Recipe
from core.recipe.yardstick import Yardstick, differences, yardstick_of
from core.store import RunRow
from pages.forms import own_tests, sample_study
from pages.frame import home, login, shell
from pages.frame.states import refused
from pages.frame.text import flat, md, plural
from pages.frame.yardstick import latest


def fill_in(model: str) -> None:
    """Gives the fields of the sweep form the yardstick, when the model is opened; what the address says goes first."""
    if st.session_state.get("_yardstick") == model:
        return
    st.session_state["_yardstick"] = model
    found = latest(model)
    if found is None:
        return
    for key, value in _fields(found[1]).items():
        if key not in st.query_params:
            st.session_state[key] = value


def _fields(of: Yardstick) -> Mapping[str, object]:
    fields: dict[str, object] = {
        "cal": of.calibration.data,
        "sequences": of.calibration.sequences,
        "length": of.calibration.length,
        "eval": of.evaluation.data,
        "tokens": of.evaluation.tokens,
        "window": of.evaluation.window,
        "tasks": list(of.evaluation.tasks),
        "latency": of.latency is not None,
    }
    for key, corpus in (("cal", of.calibration), ("eval", of.evaluation)):
        if corpus.data != "sample:wiki":
            fields |= {f"{key}-split": corpus.split or "", f"{key}-column": corpus.mapping.text or ""}
    fields |= own_tests.fields(of.evaluation)
    if of.latency is not None:
        fields |= {"prompt": of.latency.prompt, "new": of.latency.new_tokens, "repeats": of.latency.repeats}
    return fields


def note(recipe: Recipe) -> None:
    """Which chart the points of a recipe will join; what a changed yardstick leaves behind, and a way to take it along.

    The way: the latest study's candidates measured again by the new one.
    """
    found = latest(recipe.model)
    if found is None:
        return
    run, theirs = found
    mine = yardstick_of(recipe)
    apart = differences(mine, theirs)
    if not apart:
        told = f"Measured as '{md(run.name, 80)}', so its points join that chart: {md(mine.words, 300)}."
        st.caption(f":material/straighten: {told}")
        return
    left = plural(max(0, run.trials_done - 1), "point")
    st.info(
        f"Measured in another way than '{md(run.name, 80)}' ({md('; '.join(apart), 400)}), so its {left} stay on a "
        "chart of their own.",
        icon=":material/call_split:",
    )
    if run.kind == "sweep" and login.button(
        "run",
        f"Measure the {left} of that study again this way",
        key="yardstick-again",
        icon=":material/replay:",
        help=f"Starts '{flat(run.name, 80)}' with these settings. What is calibrated already is not done again.",
    ):
        _again(run, mine)


def _again(run: RunRow, mine: Yardstick) -> None:
    try:
        old = run.parsed()
        update = {"evaluation": mine.evaluation, "latency": mine.latency}
        run_id = sample_study.start(old.model_copy(update=update), home.settings())
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    st.switch_page(shell.path("sweep"), query_params={"run": run_id})
