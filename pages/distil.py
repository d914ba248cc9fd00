"""Distil: a teacher, a student and what it learns by; then its curves until it is done."""

from pages.frame.shell import guard

guard()

from typing import Any

import streamlit as st

from core.analysis.doctor import size_of
from core.analysis.estimate import training_seconds
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.jobs import actions
from core.recipe.files import dump_recipe
from core.recipe.recipe import Calibration, Distil, Evaluation, Recipe
from core.registry.formatting import show, show_bytes
from pages.forms import distil, models, sample_study
from pages.frame import home, login, shell
from pages.frame.states import empty, refused
from pages.frame.text import about, flat, md
from pages.run import panel
from pages.study import distillation


def main() -> None:
    panel.show_refusal()
    run_id = st.query_params.get("run")
    if run_id:
        distillation.follow(run_id)
    else:
        plan()


def plan() -> None:
    """A new distillation: the form, what it will take, and the start."""
    st.title("Distil", anchor=False)
    going = home.store().runs.find(states=("queued", "running"), kinds=("recipe",), limit=3)
    panel.back_to(going, "distil")
    teacher = _teacher()
    if teacher is None:
        return
    try:
        resolved, found = models.look(teacher)
    except RetortError as error:
        refused(error.cause, error.remedy)
        st.page_link(shell.path("model"), label="Open the Model page", icon=":material/deployed_code:")
        return
    left, right = st.columns([5, 3], gap="large")
    with left:
        step = _form(found)
    with right:
        _start(str(resolved.reference), step, found)


def _teacher() -> str | None:
    options = models.ready(home.settings())
    wanted = st.query_params.get("teacher")
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
        "Teacher",
        options,
        key="teacher",
        bind="query-params",
        accept_new_options=True,
        width=720,
        format_func=lambda r: flat(r, 120),
        help="The model whose answers the student learns from.",
    )


def _form(found: Anatomy) -> dict[str, Any]:
    step: dict[str, Any] = {"step": "distil", "teacher": "baseline"}
    with st.container(border=True):
        st.header("Who learns", anchor=False)
        step |= distil.student(found)
    with st.container(border=True):
        st.header("What it learns by", anchor=False)
        step["losses"] = distil.losses()
    with st.container(border=True):
        st.header("From which text, and for how long", anchor=False)
        step["data"] = distil.data(found.shape.context)
        step |= distil.schedule()
    return step


def _start(model: str, step: dict[str, Any], found: Anatomy) -> None:
    with st.container(border=True):
        st.header("Before it starts", anchor=False)
        name = st.text_input("Name", key="name", bind="query-params", max_chars=120, placeholder="What is it about?")
        data = {
            "name": (name or "").strip() or f"Distilling {flat(model, 80)}",
            "model": model,
            **_texts(found.shape.context),
            "steps": [step, {"step": "evaluate"}, {"step": "measure"}],
        }
        try:
            recipe = distil.checked(data)
            actions.check_recipe(recipe, home.settings())
        except RetortError as error:
            refused(error.cause, error.remedy)
            st.button("Start", type="primary", disabled=True, width="stretch")
            return
        spec = recipe.steps[0]
        assert isinstance(spec, Distil)
        _cost(spec, found)
        if needed := sample_study.missing(recipe, home.settings()):
            size = show_bytes(sum(s.download_bytes for s in needed))
            st.caption(f"It first downloads {md(' and '.join(s.label for s in needed))}: {size}, once.")
        if login.button("run", "Start", type="primary", icon=":material/play_arrow:", width="stretch"):
            _submit(recipe)
    text = dump_recipe(recipe)
    with st.expander("The same as a recipe file", icon=":material/description:"):
        st.code(text, language=None, height=320)
        st.download_button(
            "Download it", text, "distil.yaml", "application/yaml", icon=":material/download:", on_click="ignore"
        )
        st.caption("Runs from the command line as well: python -m core run distil.yaml")


def _texts(context: int | None) -> dict[str, Any]:
    """The usual texts, in windows that a model of a short context can read."""
    usual = {"evaluation": ("window", Evaluation().window), "calibration": ("length", Calibration().length)}
    return {key: {name: min(size, context)} for key, (name, size) in usual.items() if context and context < size}


def _submit(recipe: Recipe) -> None:
    """Queues the recipe (with the downloads it needs) and shows it."""
    run_id = sample_study.start(recipe, home.settings())
    st.switch_page(shell.path("distil"), query_params={"run": run_id})


def _cost(spec: Distil, found: Anatomy) -> None:
    """Time and memory, estimated; the student's size is the candidate's own, or the teacher's where it is designed."""
    teacher = size_of(found)
    student = teacher
    if spec.student != "current":
        try:
            student = size_of(models.look(spec.student)[1])
        except RetortError as error:
            refused(error.cause, error.remedy)
            return
    seconds = training_seconds(spec, student, teacher, home.settings(), found.shape.context or spec.data.length)
    with st.container(horizontal=True):
        st.metric(
            "Training",
            "not known yet" if seconds is None else about(seconds),
            width="content",
            help="Then the teacher and the student are measured.",
        )
        st.metric("Student", show("parameters", student.parameters), width="content", help="Parameters.")
    st.caption("Estimated from a timed probe of this machine." if seconds else "This machine has not been timed yet.")
    if seconds is None:
        panel.time_machine_button("distil")


main()
