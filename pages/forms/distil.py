"""The form of a distillation: teacher, student, losses, data and schedule, together a recipe."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.check import check_recipe
from core.recipe.recipe import Recipe
from core.registry.losses import GROUPS, LOSSES, Parameter, Value
from core.registry.mixes import MIXES
from pages.forms import look, models
from pages.frame.text import flat, md

URL: Final = "query-params"
STUDENTS = {
    "candidate": "A pruned candidate",
    "designed": "Designed here",
    "model": "Another model",
}
BUDGETS = {"minutes": "Minutes", "steps": "Steps", "tokens": "Tokens"}
FORMS = {"text": "Plain text", "chat": "Questions and answers", "labels": "Labelled texts"}
STARTS = {
    "spread": "Evenly spread teacher layers",
    "importance": "The most important teacher layers",
    "random": "Random weights",
}
_OWN = "own"


def student(found: Anatomy) -> dict[str, object]:
    """Which model learns: the keys of the step that say so."""
    kind = st.radio(
        "Student", list(STUDENTS), key="student", bind=URL, format_func=STUDENTS.__getitem__, horizontal=True
    )
    if kind == "designed":
        return {"design": _design(found)}
    options = models.kept_candidates() if kind == "candidate" else []
    if kind == "candidate" and not options:
        st.info(
            "No pruned model is kept yet. Run a sweep that removes layers or neurons, or design a student here.",
            icon=":material/info:",
        )
        return {"student": ""}
    label = "Candidate" if kind == "candidate" else "Model"
    labels = models.candidate_labels() if kind == "candidate" else {}
    wanted = st.query_params.get("learner")  # as links from other pages name it
    chosen = st.selectbox(
        label,
        options,
        key=f"student-{kind}",
        bind=URL,
        accept_new_options=True,
        index=options.index(wanted) if wanted in options else 0 if options else None,
        format_func=lambda r: flat(labels.get(r, r), 120),
        help="A sample, path:/folder, hub:organisation/name or run:KEY. Its tokenizer may differ from the teacher's.",
    )
    return {"student": (chosen or "").strip()}


def _design(found: Anatomy) -> dict[str, object]:
    layers = found.shape.layers or len(found.layers)
    a, b, c = st.columns(3)
    data: dict[str, object] = {}
    kept = a.number_input("Layers", 1, layers, max(1, layers * 2 // 3), key="design-layers", bind=URL)
    if kept < layers:
        data["layers"] = kept
    if found.shape.intermediate:
        wide = found.shape.intermediate
        narrow = b.number_input("MLP size", 8, wide, wide, step=8, key="design-mlp", bind=URL)
        if narrow < wide:
            data["sizes"] = {"intermediate": narrow}
    data["initialise"] = c.selectbox(
        "Starts from", list(STARTS), key="design-start", bind=URL, format_func=STARTS.__getitem__
    )
    return data


def losses(lacking: str | None) -> list[dict[str, object]]:
    """The mix: a named one, or any weighted terms.

    `lacking`: a token of the student's that the teacher does not have; only losses that compare by the text are then
    offered.
    """
    mixes = {i: m for i, m in MIXES.items() if not lacking or _fits_across(*(t for t, _, _ in m.terms))}
    if lacking:
        st.info(
            f"Teacher and student have different tokenizers: {md(lacking)} is one of the student's tokens, and the "
            "teacher does not have it. So they are compared by the text, wherever a token ends with both.",
            icon=":material/join_inner:",
        )
    choices = [*mixes, _OWN]
    mix = st.selectbox(
        "What it learns by",
        choices,
        key="mix-across" if lacking else "mix",
        bind=URL,
        format_func=lambda m: "A mix of my own" if m == _OWN else MIXES[m].label,
    )
    if mix != _OWN and mix in MIXES:
        st.caption(md(MIXES[mix].summary))
        return [{"loss": i, "weight": w, "parameters": dict(p)} for i, w, p in MIXES[mix].terms]
    chosen = st.multiselect(
        "Losses",
        [i for i in LOSSES if not lacking or _fits_across(i)],
        default=["span_likelihood" if lacking else "soft_labels", "cross_entropy"],
        key="losses-across" if lacking else "losses",
        bind=URL,
        format_func=lambda i: f"{LOSSES[i].label} ({GROUPS[LOSSES[i].group].lower()})",
    )
    return [_term(i) for i in chosen if i in LOSSES]


def _fits_across(*losses: str) -> bool:
    """Whether none of the losses compares token by token."""
    return all(LOSSES[i].by_text or not LOSSES[i].needs_teacher for i in losses)


def _term(loss_id: str) -> dict[str, object]:
    loss = LOSSES[loss_id]
    with st.container(border=True):
        st.markdown(f"**{md(loss.label)}**")
        st.caption(f"{md(loss.summary, 600)} {md(loss.source)}.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            weight = st.number_input("Weight", 0.0, 1000.0, 1.0, step=0.1, key=f"weight-{loss_id}", width=140)
            given = {p.id: _parameter(loss_id, p) for p in loss.parameters}
    return {"loss": loss_id, "weight": weight, "parameters": given}


def _parameter(loss_id: str, parameter: Parameter) -> Value:
    key = f"{loss_id}-{parameter.id}"
    if parameter.choices:
        options = list(parameter.choices)
        return st.selectbox(
            parameter.label,
            options,
            index=options.index(str(parameter.default)),
            key=key,
            help=parameter.explain,
            format_func=parameter.choices.__getitem__,
            width=280,
        )
    low, high = parameter.low or 0.0, parameter.high or 1.0
    return st.number_input(
        parameter.label, low, high, float(parameter.default), step=0.1, key=key, help=parameter.explain, width=160
    )


def data(context: int | None) -> dict[str, object]:
    """What it learns from."""
    longest = context or 131_072
    form = st.radio(
        "Kind of text",
        list(FORMS),
        key="form",
        bind=URL,
        format_func=FORMS.__getitem__,
        horizontal=True,
        help="Of questions and answers only the answers count.",
    )
    usual = {"text": "sample:wiki", "labels": "sample:reuters-r8/train"}.get(form)
    corpus = st.selectbox(
        "Training data",
        [usual] if usual else [],
        key=f"data-{form}",
        bind=URL,
        accept_new_options=True,
        index=0 if usual else None,
        placeholder="path:/folder/file.jsonl",
        help="Also path: a file, a folder or a pattern (text, CSV, JSON lines, Parquet), and hub:organisation/name.",
    )
    look.at(corpus or "")
    chosen: dict[str, object] = {"data": corpus or "", "form": form}
    if form == "text" and corpus == "sample:wiki":
        chosen["split"] = "training"
    elif form != "labels":
        split = st.text_input("Split", key="data-split", bind=URL, placeholder="train", help="For hub data sets.")
        chosen["split"] = split or None
    length = st.number_input("Tokens in each sequence", 8, longest, min(512, longest), key="train-length", bind=URL)
    return chosen | {"length": length}


def schedule() -> dict[str, object]:
    """How long and how fast: the remaining keys of the step."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        unit = st.selectbox(
            "Budget in", list(BUDGETS), key="budget", bind=URL, format_func=BUDGETS.__getitem__, width=140
        )
        usual = {"minutes": 15, "steps": 200, "tokens": 500_000}[unit]
        amount = st.number_input(BUDGETS[unit], 1, 1_000_000_000, usual, key=f"budget-{unit}", bind=URL, width=180)
    rates = ["1e-6", "3e-6", "1e-5", "3e-5", "1e-4", "3e-4", "1e-3"]
    rate = st.selectbox(
        "Learning rate",
        rates,
        index=rates.index("1e-4"),
        key="rate",
        bind=URL,
        width=180,
        help="Warmed up, then lowered along a cosine. If the loss rises the run stops and keeps the best.",
    )
    step: dict[str, object] = {"budget": {unit: amount}, "schedule": {"learning_rate": float(rate)}}
    with st.expander("More: batch, stored teacher, adapters", icon=":material/settings:"):
        a, b = st.columns(2)
        step["batch"] = a.number_input("Sequences a step", 1, 4_096, 4, key="batch", bind=URL)
        step["evaluate_every"] = b.number_input("Check every, steps", 1, 100_000, 25, key="every", bind=URL)
        keep = "Its likeliest tokens are kept on disk, so later students and epochs need no teacher."
        if st.toggle("Store the teacher's answers once", key="cache", bind=URL, help=keep):
            step["cache"] = {"k": st.number_input("Likeliest tokens kept", 1, 4_096, 64, key="cache-k", bind=URL)}
        if st.toggle(
            "Train small adapters only (LoRA)", key="lora", bind=URL, help="Merged into the model at the end."
        ):
            step["lora"] = {"rank": st.number_input("Rank", 1, 1_024, 16, key="lora-rank", bind=URL)}
    return step


def checked(recipe: dict[str, Any]) -> Recipe:
    """The recipe, checked exactly as a file of it would be.

    Raises:
        RetortError: what is wrong with it, all of it.
    """
    step = recipe["steps"][0]
    if step.get("student") == "":
        raise RetortError("No student is chosen.", "Choose a candidate or a model, or design one.")
    if not step["losses"]:
        raise RetortError("Nothing says what the student should learn.", "Choose at least one loss.")
    return check_recipe(recipe)
