"""Choose a technique: a few questions, ranked plans with their reasons, each one click from a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import streamlit as st

from core.analysis.adviser import RankedPlan, Situation, Subject, advise, summary
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.files import dump_recipe
from core.recipe.yardstick import Yardstick
from core.registry.families import is_adapted
from core.store.rows import CandidateRow
from pages.forms import models, sample_study
from pages.frame import home, login, shell, yardstick
from pages.frame.states import refused
from pages.frame.text import flat, md, plural

URL: Final = "query-params"
DEPLOYMENT = {"cloud": "Cloud", "edge": "Edge device", "phone": "Phone", "realtime": "Real time, autonomous"}
QUALITY = {"nearly_all": "Nearly all", "most": "Most of it", "some": "A good part may go"}
DATA = {"none": "None", "text": "Text", "labels": "Labelled texts for one task"}
COMPUTE = {"minutes": "Minutes", "hours": "Hours of a processor", "gpu": "A graphics card"}
_SHOWN = 3  # plans in full; the others fold away


def section() -> None:
    """The questions and their answer; nothing where no model is here yet."""
    options = models.ready(home.settings())
    if not options:
        return
    st.header("Choose a technique", anchor=False)
    with st.container(border=True):
        asked = questions(options)
    if asked is None:
        return
    situation, rows = asked
    plans, impossible = advise(situation, measured(rows))
    if (study := yardstick.latest(situation.subject.reference)) is not None:
        plans = [_measured_alike(plan, study[1]) for plan in plans]
    if told := summary(situation, plans):
        st.markdown(f"### :material/recommend: {md(told, 500)}", anchors=False)
    for place, plan in enumerate(plans[:_SHOWN]):
        card(plan, place)
    more = len(plans) - _SHOWN
    label = f"{plural(more, 'more plan')}, and what is not possible here" if more > 0 else "What is not possible here"
    with st.expander(label, icon=":material/more_horiz:"):
        for place, plan in enumerate(plans[_SHOWN:], start=_SHOWN):
            card(plan, place)
        for sentence in impossible:
            st.caption(f":material/block: {md(sentence, 300)}")


def _measured_alike(plan: RankedPlan, of: Yardstick) -> RankedPlan:
    """With the yardstick of the model's studies, unless the plan needs texts of its own."""
    if plan.technique.evaluation:
        return plan
    update = {"calibration": of.calibration, "evaluation": of.evaluation, "latency": of.latency or plan.recipe.latency}
    return replace(plan, recipe=plan.recipe.model_copy(update=update))


def questions(options: list[str]) -> tuple[Situation, list[CandidateRow]] | None:
    """What the reader has and wants, and the candidates of the model; None where it cannot be opened."""
    first, second, third = st.columns(3, gap="medium")
    reference = first.selectbox("Model", options, key="for", bind=URL, format_func=lambda r: flat(r, 80))
    answers: dict[str, Any] = {
        "deployment": _choice(second, "Where it will run", "where", DEPLOYMENT),
        "quality": _choice(third, "Quality to keep", "keep", QUALITY, 1),
        "data": _choice(first, "Data you have", "have", DATA),
        "compute": _choice(second, "Computing at hand", "compute", COMPUTE),
    }
    memory = third.number_input(
        "Memory of the device, MB", 0, 10_000_000, 0, step=100, key="memory", bind=URL, help="0: it does not matter."
    )
    milliseconds = third.number_input(
        "A token may take, ms",
        0.0,
        1e6,
        0.0,
        format="%g",
        key="ms",
        bind=URL,
        help="On this machine. 0: it does not matter.",
    )
    with st.container(horizontal=True):
        latency = st.toggle("It is too slow as it is", key="slow", bind=URL)
        sparse = st.toggle(
            "A GPU with 2:4 units",
            key="sparse",
            bind=URL,
            help="NVIDIA Ampere or newer, with serving software that uses sparse kernels.",
        )
    try:
        resolved, found = models.look(reference)
    except RetortError as error:
        refused(error.cause, error.remedy)
        return None
    rows = home.store().candidates.rows(model=reference)
    situation = Situation(
        subject_of(reference, found),
        memory_mb=float(memory) or None,
        latency=latency,
        sparse_gpu=sparse,
        milliseconds=milliseconds or None,
        dense_ms=dense_ms(rows),
        formats=models.formats(resolved),
        **answers,
    )
    return situation, rows


def dense_ms(rows: Sequence[CandidateRow]) -> float | None:
    """What a token of the model as it is took on this machine, in its newest study; None where none was timed."""
    times = [m.value for r in rows if r.baseline for m in r.measurements if m.metric == "decode_ms"]
    return times[-1] if times else None


def _choice(column: Any, label: str, key: str, words: dict[str, str], index: int = 0) -> str:
    return str(column.selectbox(label, list(words), index, key=key, bind=URL, format_func=words.__getitem__))


def subject_of(reference: str, found: Anatomy) -> Subject:
    return Subject(
        reference,
        found.parameters,
        sum(layer.total for layer in found.layers),
        found.shape.layers or 0,
        found.shape.experts or 0,
        encoder=found.shape.task in ("encoder", "masked", "classification"),
        pair=found.shape.task == "seq2seq",
        adapted=is_adapted(found.shape.family),
        context=found.shape.context,
    )


def measured(rows: Sequence[CandidateRow]) -> list[tuple[CandidateRow, CandidateRow]]:
    """The candidates with their baselines."""
    by_key = {r.key: r for r in rows}
    pairs = [(r, by_key.get(r.baseline_key or "")) for r in rows if not r.baseline]
    return [(candidate, dense) for candidate, dense in pairs if dense is not None]


def card(plan: RankedPlan, place: int) -> None:
    """One plan: why, what it gives, what it takes, what speaks against it."""
    technique = plan.technique
    with st.container(border=True):
        st.subheader(f"{place + 1}. {md(technique.title)}", anchor=False)
        st.markdown(f"{md(technique.how, 300)} {md(technique.why, 300)}")
        left, right = st.columns(2, gap="medium")
        with left:
            if plan.reasons:
                speaks = ":material/check: **Chosen because**" if plan.fits else ":material/info: **Speaks for it:**"
                st.markdown(f"{speaks} {', '.join(plan.reasons)}.")
            if plan.take_away:
                st.markdown(f":material/output: **Format.** {md(plan.take_away, 300)}")
            st.markdown(f":material/straighten: **Size.** {md(plan.size, 300)}")
            st.markdown(f":material/schedule: **Takes.** {md(technique.takes, 300)}")
        with right:
            if plan.measured:
                st.markdown(f":material/science: **Measured on this model.** {md(plan.measured, 500)}")
            st.markdown(f":material/menu_book: **Quality.** {md(technique.quality, 400)} {md(technique.source, 200)}.")
            st.markdown(f":material/warning: **Against it.** {md(technique.against, 300)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            kind = "primary" if place == 0 else "secondary"
            if login.button(
                "run", "Run this plan", key=f"plan-{technique.id}", type=kind, icon=":material/play_arrow:"
            ):
                run(plan)
            st.download_button(
                "Recipe",
                dump_recipe(plan.recipe),
                f"{technique.id}.yaml",
                "application/yaml",
                on_click="ignore",
                key=f"recipe-{technique.id}",
                icon=":material/download:",
            )


def run(plan: RankedPlan) -> None:
    """Queues what the plan needs and the plan, and goes to its run."""
    try:
        run_id = sample_study.start(plan.recipe, home.settings())
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    st.switch_page(shell.path("runs"), query_params={"run": run_id})
