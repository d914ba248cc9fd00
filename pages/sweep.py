"""Sweep: one model, one calibration, many ways to prune it; then its progress until the last point."""

from pages.frame.shell import guard

guard()

from typing import Any

import streamlit as st

from core.analysis.doctor import size_of
from core.analysis.estimate import Estimate, estimate
from core.analysis.remaining import earlier_seconds
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.jobs import actions
from core.jobs.waiting import waits_for
from core.recipe.files import dump_recipe
from core.recipe.recipe import Recipe
from core.registry.formatting import show_bytes
from core.store import RunRow, TrialRow
from pages.forms import models, sample_study, sweep
from pages.frame import charts, home, login, shell
from pages.frame.states import empty, refused
from pages.frame.text import about, flat, md
from pages.run import panel
from pages.study import slider, tradeoff_data

_CHART = 450  # pixels


def main() -> None:
    panel.show_refusal()
    run_id = st.query_params.get("run")
    if run_id:
        follow(run_id)
    else:
        plan()


def plan() -> None:
    """A new sweep: the form, what it will take, and the start."""
    st.title("Sweep", anchor=False)
    panel.back_to(home.store().runs.find(states=("queued", "running"), kinds=("sweep",), limit=3), "sweep")
    reference = model()
    if reference is None:
        return
    try:
        resolved, found = models.look(reference)
    except RetortError as error:
        refused(error.cause, error.remedy)
        st.page_link(shell.path("model"), label="Open the Model page", icon=":material/deployed_code:")
        return
    trying = st.container()  # stands above the form, and uses its settings
    left, right = st.columns([5, 3], gap="large")
    with left:
        data = sweep.form(str(resolved.reference), found)
    with right:
        start(data, found)
    with trying:  # last, so that the page is whole while a preview is worked out
        slider.section(str(resolved.reference), found, data)


def model() -> str | None:
    options = models.ready(home.settings())
    wanted = st.query_params.get("model")
    if wanted and wanted not in options:
        options.insert(0, wanted)
    if not options:
        empty(
            "No model yet",
            "Fetch a sample or name a folder first.",
            shell.path("model"),
            "Open the Model page",
            icon=":material/deployed_code:",
        )
        return None
    return st.selectbox(
        "Model",
        options,
        key="model",
        bind="query-params",
        accept_new_options=True,
        width=720,
        format_func=lambda r: flat(r, 120),
        help="A sample, path:/folder, hub:organisation/name@revision, or run:KEY of a kept candidate.",
    )


def start(data: dict[str, Any], found: Anatomy) -> None:
    """What the sweep takes, and the button that starts it."""
    with st.container(border=True):
        st.header("Before it starts", anchor=False)
        name = st.text_input("Name", key="name", bind="query-params", max_chars=120, placeholder="What is it about?")
        data["name"] = (name or "").strip() or f"Sweep of {flat(data['model'], 80)}"
        try:
            recipe = sweep.checked(data)
            actions.check_recipe(recipe, home.settings())
        except RetortError as error:
            refused(error.cause, error.remedy)
            st.button("Start the sweep", type="primary", disabled=True, width="stretch")
            return
        cost(estimate(recipe, size_of(found), home.settings(), earlier(recipe)))
        if needed := sample_study.missing(recipe, home.settings()):
            size = show_bytes(sum(s.download_bytes for s in needed))
            st.caption(f"It first downloads {md(' and '.join(s.label for s in needed))}: {size}, once.")
        if login.button("run", "Start the sweep", type="primary", icon=":material/play_arrow:", width="stretch"):
            go_to(sample_study.start(recipe, home.settings()))
    text = dump_recipe(recipe)
    with st.expander("The same as a recipe file", icon=":material/description:"):
        st.code(text, language=None, height=320)
        st.download_button(
            "Download it", text, "sweep.yaml", "application/yaml", icon=":material/download:", on_click="ignore"
        )
        st.caption("Runs from the command line as well: python -m core sweep sweep.yaml")


def cost(expected: Estimate) -> None:
    with st.container(horizontal=True):
        st.metric("To measure", f"{expected.trials}", width="content", help="Every candidate and the dense baseline.")
        time = "not known yet" if expected.seconds is None else about(expected.seconds)
        st.metric("Time", time, width="content")
        st.metric("Disk, at most", show_bytes(expected.disk_bytes), width="content")
    st.caption(f"Time: {md(expected.basis)}.")
    if expected.seconds is None:
        panel.time_machine_button("sweep")


def earlier(recipe: Recipe) -> list[float]:
    """Durations of trials of this model under the same settings, from its last sweeps."""
    store = home.store()
    runs = store.runs.find(kinds=("sweep",), model=recipe.model, states=("done",), limit=2)
    return earlier_seconds(recipe, [r for run in runs for r in store.candidates.results(run_id=run.id)])


def go_to(run_id: str) -> None:
    st.switch_page(shell.path("sweep"), query_params={"run": run_id})


def follow(run_id: str) -> None:
    """A sweep that was started: progress by trial, its chart as it fills, its log."""
    panel.follow(run_id, "Sweep of", progress, again="New sweep")


def progress(run: RunRow, trials: list[TrialRow]) -> None:
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


main()
