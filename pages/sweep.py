"""Sweep: one model, one calibration, many ways to prune it; then its progress until the last point."""

from pages.frame.shell import guard

guard()

from functools import partial
from typing import Any

import streamlit as st

from core.analysis.doctor import size_of
from core.analysis.estimate import Estimate, Past, estimate, past
from core.catalogue.anatomy import Anatomy
from core.jobs import actions
from core.jobs.waiting import waits_for
from core.recipe.recipe import Recipe
from core.registry.formatting import show_bytes
from core.store import RunRow, Store, TrialRow
from pages.forms import sample_study, sizes, sweep, trim, yardstick
from pages.frame import charts, home, shell
from pages.frame.cached import cached
from pages.frame.states import empty
from pages.frame.text import md
from pages.run import panel, search_curve
from pages.study import slider, tradeoff_data
from pages.study.study_page import StudyPage, as_file, choose_model, given_name

PAGE = StudyPage("sweep", "Sweep", kind="sweep", of="Sweep of", button="Start the sweep", again="New sweep")
_CHART = 450  # pixels


def plan() -> None:
    """A new sweep: the model, the form, what it will take, and the start."""
    chosen = choose_model("Model", "model", "Every candidate is made from it.")
    if chosen is None:
        return
    resolved, found = chosen
    yardstick.fill_in(str(resolved.reference))
    trying = st.container()  # stands above the form, and uses its settings
    left, right = st.columns([5, 3], gap="large")
    with left:
        data = sweep.form(str(resolved.reference), found)
        trim.section(str(resolved.reference), found, data, follow)
    with right:
        recipe = PAGE.before_it_starts(partial(checked, data), partial(offer, found))
        if recipe is not None:
            as_file(recipe, "sweep.yaml", "sweep")
    with trying:  # last, so that the page is whole while a preview is worked out
        slider.section(str(resolved.reference), found, data)


def follow(run_id: str) -> None:
    """A recipe of steps is followed on the page of such runs."""
    st.switch_page(shell.path("distil"), query_params={"run": run_id})


def checked(data: dict[str, Any]) -> Recipe:
    recipe = sweep.checked(given_name() | data)
    actions.check_recipe(recipe, home.settings())
    return recipe


def offer(found: Anatomy, recipe: Recipe) -> None:
    """What the sweep takes, and the button that starts it."""
    before = earlier(recipe)

    def taken(of: Recipe) -> Estimate:
        return estimate(of, size_of(found), home.settings(), before)

    expected = taken(recipe)
    sizes.choose(
        sizes.SWEEP,
        lambda numbers: taken(sizes.sized(recipe, numbers)).seconds,
        "Calibration sequences, evaluation tokens and timed repeats. More of them tell smaller differences apart.",
    )
    with st.container(horizontal=True):
        st.metric("To measure", f"{expected.trials}", width="content", help="Every candidate and the dense baseline.")
        PAGE.time_needed("Time", expected.seconds)
        st.metric("Disk, at most", show_bytes(expected.disk_bytes), width="content")
    PAGE.time_basis(expected.seconds, expected.basis)
    yardstick.note(recipe)
    PAGE.start_button(recipe, partial(sample_study.start, recipe, home.settings()))


def earlier(recipe: Recipe) -> list[Past]:
    """What trials of this model took, in its last sweeps."""
    store = home.store()
    runs = store.runs.find(kinds=("sweep",), model=recipe.model, states=("done",), limit=2)
    return _past(store, tuple((r.id, r.finished or 0.0) for r in runs))


@cached(32)
def _past(store: Store, runs: tuple[tuple[str, float], ...]) -> list[Past]:
    """`runs`: their ids, and when each ended."""
    return past(r for run, _ in runs for r in store.candidates.results(run_id=run))


def progress(run: RunRow, trials: list[TrialRow]) -> None:
    """A sweep that was started: progress by trial, its chart as it fills, its log."""
    panel.show_refusal()
    panel.progress(run, trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        panel.buttons(run, trials, "sweep")
        panel.tradeoffs_link(run)
    drawn = tradeoff_data.overview(run, _CHART)
    left, right = st.columns([3, 2], gap="large")
    with left:  # as high with points as without, so that nothing below jumps
        if drawn is not None:
            st.plotly_chart(drawn.figure, theme=None, config=charts.STATIC, key="filling", alt=drawn.alt)
        else:
            waiting(run)
    with right:
        panel.trials_table(trials, height=_CHART)
    search_curve.of_run(run)
    with st.expander("Log", icon=":material/terminal:"):
        panel.log_tail(run.id)


def waiting(run: RunRow) -> None:
    if run.state == "queued":
        title, icon = "Waiting for its turn", ":material/schedule:"
        text = (
            f"{md(waits_for(run, home.store()))} Runs come one after the other, so that no latency is measured beside "
        )
        text += "other work."
    elif run.active:
        title, icon = "No point yet", ":material/scatter_plot:"
        text = "The dense model is measured first, then every candidate adds a point."
    else:
        title, icon, text = "No point was measured", ":material/scatter_plot:", "The reason stands above."
    empty(title, text, icon=icon, height=_CHART)


PAGE.show(plan, progress)
