"""Sensitivity: where a model can be pruned and where it hurts, measured one place at a time."""

from pages.frame.shell import guard

guard()


import streamlit as st

from core.analysis import sensitivity as kept
from core.analysis.doctor import size_of
from core.analysis.sensitivity import Sensitivity
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.catalogue.references import ResolvedModel
from core.figures import sensitivity as figures
from core.jobs import actions, submissions
from core.recipe.recipe import Grid, Recipe, Sweep
from core.registry.methods import METHODS
from core.store import RunRow, TrialRow
from pages.forms import models, sample_study, sensitivity
from pages.frame import charts, home, login, shell
from pages.frame.states import empty, refused
from pages.frame.text import about, flat, md, when, zone
from pages.run import panel
from pages.study import sensitivity_map
from pages.study.without_layers import by_hand, readable

_USUAL_PARTS = 7  # linear layers of a common block, for the count before the model was opened


def main() -> None:
    st.title("Sensitivity", anchor=False)
    panel.show_refusal()
    run_id = st.query_params.get("run")
    if run_id:
        follow(run_id)
    else:
        plan()


def plan() -> None:
    """The choices, what they take, and under them what was measured of this model before."""
    going = home.store().runs.find(states=("queued", "running"), kinds=("sensitivity",), limit=3)
    panel.back_to(going, "sensitivity")
    opened = model()
    if opened is None:
        return
    resolved, found = opened
    left, right = st.columns([5, 3], gap="large")
    with left:
        data = sensitivity.form(str(resolved.reference), found.shape.context)
    with right:
        start(data, found)
    earlier = kept.find(home.settings(), resolved.fingerprint)
    if not earlier:
        empty(
            "Nothing measured of this model yet",
            "The map of its layers and parts appears here.",
            icon=":material/grid_on:",
        )
        return
    where = zone(st.context.timezone)
    by_key = {e.key: e for e in earlier}
    chosen = st.selectbox(
        "Measured",
        list(by_key),
        key="measured",
        bind="query-params",
        width=560,
        format_func=lambda k: f"{METHODS[by_key[k].spec.method].label}, {when(by_key[k].made, where)}, {k[:6]}",
    )
    result(by_key[chosen], resolved, found)


def model() -> tuple[ResolvedModel, Anatomy] | None:
    """The chosen model, or what to do to have one."""
    options = models.ready(home.settings()) + models.kept_candidates()
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
    labels = models.candidate_labels()
    reference = st.selectbox(
        "Model",
        options,
        key="model",
        bind="query-params",
        accept_new_options=True,
        width=720,
        format_func=lambda r: flat(labels.get(r, r), 120),
    )
    try:
        return models.look(reference or options[0])
    except RetortError as error:
        refused(error.cause, error.remedy)
        return None


def start(data: dict[str, object], found: Anatomy) -> None:
    """How many measurements it takes, how long, and the button."""
    with st.container(border=True):
        st.header("Before it starts", anchor=False)
        try:
            spec = sensitivity.checked(data)
        except RetortError as error:
            refused(error.cause, error.remedy)
            st.button("Measure", type="primary", disabled=True, width="stretch")
            return
        count = kept.measurements(spec, len(found.layers), _USUAL_PARTS, found.shape.heads or 0)
        seconds = kept.seconds(spec, size_of(found), home.settings(), count)
        with st.container(horizontal=True):
            st.metric(
                "Measurements, about",
                f"{count:,}",
                width="content",
                help="Each evaluates the whole text with one place changed. Stopped ones go on where they were.",
            )
            st.metric("Time", "not known yet" if seconds is None else about(seconds), width="content")
        st.caption("Estimated from a timed probe of this machine." if seconds else "This machine is not timed yet.")
        if seconds is None:
            panel.time_machine_button("sensitivity")
        if login.button("run", "Measure", type="primary", icon=":material/play_arrow:", width="stretch"):
            for needed in sample_study.missing(spec.recipe(), home.settings()):
                actions.submit_fetch(needed.id, home.settings())
            run_id = submissions.submit_sensitivity(spec, home.settings())
            st.switch_page(shell.path("sensitivity"), query_params={"run": run_id})


def follow(run_id: str) -> None:
    """A measurement that was started: its progress and the map as it fills, then the result."""
    run = home.store().runs.get(run_id)
    if run.kind != "sensitivity":
        raise RetortError("This run is no sensitivity measurement.", "Open it on the Runs page.")
    st.caption(md(run.name))
    if run.active or run.state != "done":
        panel.live(run_id, progress)
    else:
        resolved, found = models.look(run.model)
        key = kept.key_of_run(home.settings(), run_id)
        measured = kept.read(home.settings(), key) if key else None
        if measured is None:
            refused("The result of this measurement is no longer here.", "Measure it again.")
        else:
            result(measured, resolved, found)
    if st.button("New measurement", icon=":material/add:", type="tertiary"):
        st.query_params.clear()
        st.rerun()


def progress(run: RunRow, trials: list[TrialRow]) -> None:
    panel.show_refusal()
    panel.progress(run, trials)
    panel.buttons(run, trials, "sensitivity")
    key = kept.key_of_run(home.settings(), run.id)
    cells = kept.unfinished(home.settings(), key)[0] if key else []
    if not cells:
        text = "Whole layers come first, then their parts." if run.active else "The reason stands above."
        empty("No place measured yet", text, icon=":material/grid_on:", height=320)
        return
    sparsity = max(c.sparsity for c in cells)
    st.plotly_chart(
        figures.heatmap(cells, sparsity, shell.ground(), (-1, None)),
        key="filling",
        theme=None,
        config=charts.STATIC,
        alt=figures.alt(cells, sparsity),
    )
    st.caption(f"So far, at {sparsity:.0%} sparsity.".replace("%", " %"))


def result(measured: Sensitivity, resolved: ResolvedModel, found: Anatomy) -> None:
    spec = measured.spec
    text = f"{spec.evaluation.tokens:,} tokens of {md(spec.evaluation.data)}"
    st.caption(
        f"{METHODS[spec.method].label}, measured on {text}. Dense loss {measured.loss:.3f} nats per token. "
        + md(" ".join(measured.notes))
    )
    sensitivity_map.explore(measured.cells, sum(c.parameters for c in measured.whole(max(spec.sparsities)).values()))
    if measured.removed:
        st.header("Without a layer", anchor=False)
        by_hand(measured, resolved, found)
    sensitivity_map.break_even(measured.break_even)
    spread(measured, resolved, found)


def spread(measured: Sensitivity, resolved: ResolvedModel, found: Anatomy) -> None:
    """From the map to a sweep that uses it."""
    spec, most = measured.spec, max(measured.spec.sparsities)
    amount = round(max(most - 0.1, most / 2), 3)  # below what was measured, so that there is room above it
    if login.button(
        "run",
        f"Compare even and measured sparsity at {amount:.0%}".replace("%", " %"),
        icon=":material/tune:",
        help="A sweep of two candidates: the same sparsity in every layer, and more of it where it hurts least.",
    ):
        same, spread_out = (
            Grid(method=(spec.method,), sparsity=(amount,), allocation=a) for a in ("uniform", "sensitivity")
        )
        recipe = Recipe(
            name=f"Even and measured sparsity, {METHODS[spec.method].label}",
            model=str(resolved.reference),
            **readable(spec, found),
            sweep=Sweep(grid=(same, spread_out)),
        )
        run_id = sample_study.start(recipe, home.settings())
        st.switch_page(shell.path("sweep"), query_params={"run": run_id})


main()
