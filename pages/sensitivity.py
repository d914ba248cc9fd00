"""Sensitivity: where a model can be pruned and where it hurts, measured one place at a time."""

from pages.frame.shell import guard

guard()

from functools import partial

import streamlit as st

from core.analysis import sensitivity as kept
from core.analysis.doctor import size_of
from core.analysis.sensitivity import Sensitivity, SensitivitySpec
from core.catalogue.anatomy import Anatomy
from core.catalogue.references import ResolvedModel
from core.figures import sensitivity as figures
from core.jobs import actions, submissions
from core.recipe.recipe import Evaluation, Grid, Recipe, Sweep
from core.registry.formatting import percent
from core.registry.methods import METHODS
from core.store import RunRow, TrialRow
from pages.forms import models, sample_study, sensitivity, sizes
from pages.frame import charts, home, login, shell
from pages.frame.states import empty, refused
from pages.frame.text import md, when, zone
from pages.run import panel
from pages.study import sensitivity_map
from pages.study.study_page import StudyPage, choose_model
from pages.study.without_layers import by_hand, readable

PAGE = StudyPage(
    "sensitivity",
    "Sensitivity",
    kind="sensitivity",
    of="Measured place by place in",
    button="Measure",
    again="New measurement",
    files=False,
)
_USUAL_PARTS = 7  # linear layers of a common block, for the count before the model was opened


def plan() -> None:
    """The model, the form, what it will take, and under them what was measured of this model before."""
    chosen = choose_model("Model", "model", "The one that is measured place by place.")
    if chosen is None:
        return
    resolved, found = chosen
    left, right = st.columns([5, 3], gap="large")
    with left:
        data = sensitivity.form(str(resolved.reference), found.shape.context)
    with right:
        PAGE.before_it_starts(partial(checked, data), partial(offer, found))
    earlier(resolved, found)


def checked(data: dict[str, object]) -> SensitivitySpec:
    spec = sensitivity.checked(data)
    actions.check_recipe(spec.recipe(), home.settings())
    return spec


def offer(found: Anatomy, spec: SensitivitySpec) -> None:
    """How many measurements it takes, how long, and the button that starts them."""
    count = kept.measurements(spec, len(found.layers), _USUAL_PARTS, found.shape.heads or 0)
    seconds = taken(spec, found, count)
    sizes.choose(
        sizes.SENSITIVITY,
        lambda numbers: taken(spec.model_copy(update={"evaluation": evaluated(spec, numbers["tokens"])}), found, count),
        "Tokens that each place is judged on. More of them tell smaller differences apart.",
    )
    with st.container(horizontal=True):
        st.metric(
            "Measurements, about",
            f"{count:,}",
            width="content",
            help="Each evaluates the whole text with one place changed. Stopped ones go on where they were.",
        )
        PAGE.time_needed("Time", seconds)
    PAGE.time_basis(seconds)
    PAGE.start_button(spec.recipe(), partial(submit, spec))


def taken(spec: SensitivitySpec, found: Anatomy, count: int) -> float | None:
    return kept.seconds(spec, size_of(found), home.settings(), count)


def evaluated(spec: SensitivitySpec, tokens: int) -> Evaluation:
    return spec.evaluation.model_copy(update={"tokens": tokens})


def submit(spec: SensitivitySpec) -> str:
    sample_study.fetch_first(spec.recipe(), home.settings())
    return submissions.submit_sensitivity(spec, home.settings(), login.actor())


def earlier(resolved: ResolvedModel, found: Anatomy) -> None:
    """What was measured of this model before."""
    measured = {m.key: m for m in kept.find(home.settings(), resolved.fingerprint)}
    if not measured:
        empty(
            "Nothing measured of this model yet",
            "The map of its layers and parts appears here.",
            icon=":material/grid_on:",
        )
        return
    where = zone(st.context.timezone)
    chosen = st.selectbox(
        "Measured",
        list(measured),
        key="measured",
        bind="query-params",
        width=560,
        format_func=lambda k: f"{METHODS[measured[k].spec.method].label}, {when(measured[k].made, where)}, {k[:6]}",
    )
    show(measured[chosen], resolved, found)


def progress(run: RunRow, trials: list[TrialRow]) -> None:
    """A measurement that was started: how far it is, and the map as it fills."""
    panel.show_refusal()
    panel.progress(run, trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        panel.buttons(run, trials, "sensitivity")
    filling(run)
    with st.expander("Log", icon=":material/terminal:"):
        panel.log_tail(run.id)


def filling(run: RunRow) -> None:
    """The map so far."""
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
    st.caption(f"So far, at {percent(sparsity)} sparsity.")


def result(run: RunRow) -> None:
    """What a run has measured."""
    key = kept.key_of_run(home.settings(), run.id)
    measured = kept.read(home.settings(), key) if key else None
    if measured is None:
        refused("The result of this measurement is no longer here.", "Measure it again.")
    else:
        show(measured, *models.look(run.model))


def show(measured: Sensitivity, resolved: ResolvedModel, found: Anatomy) -> None:
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
        f"Compare even and measured sparsity at {percent(amount)}",
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


PAGE.show(plan, progress, result)
