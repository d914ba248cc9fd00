"""Distil: a teacher, a student and what it learns by; then its curves until it is done."""

from pages.frame.shell import guard

guard()

from functools import partial

import streamlit as st

from core.analysis.doctor import size_of
from core.analysis.estimate import measuring_seconds, training_seconds
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.jobs import actions
from core.preflight.tokens import differing
from core.recipe.distil import TrainingBudget
from core.recipe.recipe import Calibration, Distil, Evaluation, Recipe
from core.registry.formatting import show
from pages.forms import distil, models, sample_study, sizes, yardstick
from pages.frame import home
from pages.frame.states import refused
from pages.frame.yardstick import taken_over
from pages.study import distillation
from pages.study.study_page import StudyPage, as_file, choose_model, given_name

PAGE = StudyPage("distil", "Distil", kind="recipe", of="Taught by", button="Start", again="New distillation")


def plan() -> None:
    """A new distillation: the teacher, the form, what it will take, and the start."""
    chosen = choose_model("Teacher", "teacher", "The model whose answers the student learns from.")
    if chosen is None:
        return
    resolved, found = chosen
    left, right = st.columns([5, 3], gap="large")
    with left:
        step = form(str(resolved.reference), found)
    with right:
        recipe = PAGE.before_it_starts(partial(checked, str(resolved.reference), step, found), partial(offer, found))
        if recipe is not None:
            as_file(recipe, "distil.yaml", "run")


def form(teacher: str, found: Anatomy) -> dict[str, object]:
    step: dict[str, object] = {"step": "distil", "teacher": "baseline"}
    with st.container(border=True):
        st.header("Who learns", anchor=False)
        step |= distil.student(found)
    with st.container(border=True):
        st.header("What it learns by", anchor=False)
        student = str(step.get("student") or "")
        step["losses"] = distil.losses(differing(teacher, student, home.settings()) if student else None)
    with st.container(border=True):
        st.header("From which text, and for how long", anchor=False)
        step["data"] = distil.data(found.shape.context)
        step |= distil.schedule()
    return step


def checked(model: str, step: dict[str, object], found: Anatomy) -> Recipe:
    data: dict[str, object] = {
        **given_name(),
        "model": model,
        **(taken_over(model) or _texts(found.shape.context)),
        "steps": [step, {"step": "evaluate"}, {"step": "measure"}],
    }
    recipe = distil.checked(data)
    actions.check_recipe(recipe, home.settings())
    return recipe


def _texts(context: int | None) -> dict[str, object]:
    """The usual texts, in windows that a model of a short context can read."""
    usual = {"evaluation": ("window", Evaluation().window), "calibration": ("length", Calibration().length)}
    return {key: {name: min(size, context)} for key, (name, size) in usual.items() if context and context < size}


def offer(found: Anatomy, recipe: Recipe) -> None:
    """What the distillation takes, and the button that starts it."""
    spec = recipe.steps[0]
    assert isinstance(spec, Distil)
    _cost(recipe, spec, found)
    yardstick.note(recipe)
    PAGE.start_button(recipe, partial(sample_study.start, recipe, home.settings()))


def _cost(recipe: Recipe, spec: Distil, found: Anatomy) -> None:
    """Time and memory, estimated; the student's size is the candidate's own, or the teacher's where it is designed."""
    teacher = size_of(found)
    student = teacher
    if spec.student != "current":
        try:
            student = size_of(models.look(spec.student)[1])
        except RetortError as error:
            refused(error.cause, error.remedy)
            return
    measuring = measuring_seconds(recipe, (teacher, student), home.settings())

    def taken(of: Distil) -> float | None:
        training = training_seconds(of, student, teacher, home.settings(), found.shape.context or of.data.length)
        return None if training is None or measuring is None else training + measuring

    seconds = taken(spec)
    if spec.budget.minutes is not None:
        sizes.choose(
            sizes.DISTIL,
            lambda numbers: taken(_longer(spec, numbers["budget-minutes"])),
            "Minutes of training. Teacher and student are measured as well, which the time includes.",
        )
    with st.container(horizontal=True):
        PAGE.time_needed("Time", seconds, help="Training, and the teacher and the student measured.")
        st.metric("Student", show("parameters", student.parameters), width="content", help="Parameters.")
    PAGE.time_basis(seconds)


def _longer(spec: Distil, minutes: int) -> Distil:
    return spec.model_copy(update={"budget": TrainingBudget(minutes=minutes)})


PAGE.show(plan, distillation.progress)
