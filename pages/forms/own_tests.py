"""Tests of one's own in the form of a sweep: files of questions, and labelled texts for a classifier."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

import streamlit as st

from core.recipe.parts import Evaluation
from pages.forms import look

URL: Final = "query-params"
MATCHES = {"exact": "equal the expected one", "contains": "hold the expected one"}
_USUAL_ITEMS = 100


def section(task: str) -> dict[str, Any]:
    """What a model of this kind can be asked besides the sets that Retort brings; nothing where nothing is named."""
    if task == "classification":
        return _labelled()
    return _questions() if task == "causal" else {}


def questions_each() -> int:
    """How many questions of each task are asked."""
    asked = st.number_input(
        "Questions of each task",
        2,
        100_000,
        _USUAL_ITEMS,
        key="items",
        bind=URL,
        help="More questions take longer and tell smaller differences apart: 100 leave about 10 points either way.",
    )
    return int(asked)


def fields(of: Evaluation) -> Mapping[str, object]:
    """The fields that say what an earlier study asked."""
    found: dict[str, object] = {}
    if (of.tasks or of.own_tasks) and of.items is not None:
        found["items"] = of.items
    if of.own_tasks:
        first = of.own_tasks[0]
        found |= {"own": [t.data for t in of.own_tasks], "shots": first.shots, "match": first.match}
    if of.labelled is not None:
        columns = of.labelled.source.columns
        found |= {"labelled": of.labelled.data, "label-column": columns.label or "", "text-column": columns.text or ""}
    return found


def _questions() -> dict[str, Any]:
    earlier = st.session_state.get("own") or []
    chosen = st.multiselect(
        "Questions of your own",
        earlier,
        key="own",
        bind=URL,
        accept_new_options=True,
        placeholder="path: a file with a column for the question, the options and the answer",
        help="path: a file (CSV, JSON lines and others) or hub:organisation/name. With options, the one the model "
        "finds most likely is its answer; without, the model writes one, which is compared with the expected answer.",
    )
    if not chosen:
        return {}
    left, middle, right = st.columns(3, gap="medium")
    shots = left.number_input(
        "Examples shown first",
        0,
        64,
        0,
        key="shots",
        bind=URL,
        help="The first so many questions of each file are shown with their answers before each of the others, and are "
        "not asked.",
    )
    match = middle.selectbox(
        "Written answers must",
        list(MATCHES),
        key="match",
        bind=URL,
        format_func=MATCHES.__getitem__,
        help="For files without options. Case, spaces and punctuation around the answer do not count.",
    )
    with right:
        items = {} if st.session_state.get("tasks") else {"items": questions_each()}
    for reference in chosen:
        look.at(reference)
    names = task_names(chosen)
    said = [{"name": n, "data": d, "shots": shots, "match": match} for n, d in zip(names, chosen, strict=True)]
    return {"own_tasks": said, **items}


def task_names(references: Sequence[str]) -> list[str]:
    """What the task of each file is called: as the file, with a number where two are called alike."""
    found: list[str] = []
    for reference in references:
        stem = PurePath(reference.partition(":")[2].partition("@")[0]).name.partition(".")[0]
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:50] or "questions"
        name, number = f"own-{plain}", 2
        while name in found:
            name, number = f"own-{plain}-{number}", number + 1
        found.append(name)
    return found


def _labelled() -> dict[str, Any]:
    earlier = st.session_state.get("labelled")
    usual = ["sample:reuters-r8/test", "sample:20newsgroups/test", "sample:tasks/sst2"]
    chosen = st.selectbox(
        "Labelled texts",
        usual if earlier in (None, *usual) else [*usual, earlier],
        index=None,
        key="labelled",
        bind=URL,
        accept_new_options=True,
        placeholder="None: quality is not measured",
        help="Texts with the right class beside them, which this model is judged on: path: a file with a text and a "
        "label column, hub:organisation/name, or a sample.",
    )
    if not chosen:
        return {}
    if chosen.startswith("sample:"):
        return {"labelled": {"data": chosen}}
    left, right = st.columns(2, gap="medium")
    text = left.text_input("Column with the text", key="text-column", bind=URL, placeholder="told by its name")
    label = right.text_input("Column with the label", key="label-column", bind=URL, placeholder="told by its name")
    look.at(chosen, text)
    columns = {k: v for k, v in (("text", text), ("label", label)) if v}
    return {"labelled": {"data": chosen, **({"columns": columns} if columns else {})}}
