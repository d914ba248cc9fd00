"""Classifiers side by side: accuracy, confusion matrices on one scale, and the texts they answer differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.analysis.confusion import Together, judged, stored
from core.catalogue.samples import is_fetched
from core.figures import confusion as figures
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.samples import SAMPLES
from pages.comparison import changes
from pages.comparison.models import Chosen
from pages.frame import home, login, shell
from pages.frame.charts import STATIC
from pages.frame.live_answer import answered
from pages.frame.states import refused
from pages.frame.text import flat, md

_KEPT = "_compare-classes"
_USUAL = 500  # texts, where the runs measured none


@dataclass(frozen=True)
class Asked:
    """Which texts the models are compared on."""

    references: tuple[str, ...]
    data: str
    items: int
    reading: Mapping[str, object] = field(default_factory=dict)


def sections(chosen: Chosen, busy: bool) -> None:
    """The whole page for classification models."""
    measured = stored([_result(r) for r in chosen.references])
    st.header("Right and wrong", anchor=False)
    asked, go = _form(chosen, measured, busy)
    say = st.empty()
    known = measured if measured and (measured.data, measured.items) == (asked.data, asked.items) else None
    seen: dict[str, Any] = st.session_state.get(_KEPT, {})
    if go:
        seen = _ask(asked, known, say) or seen
        st.session_state[_KEPT] = seen
    if seen.get("asked") != asked:
        seen = {}
    told = _together(asked, seen) if seen else known
    if told is None:
        st.caption(":material/info: Not measured on these texts yet: press the button, and each model answers them.")
        return
    _source(known, seen, told)
    _matrices(chosen, told)
    _table(chosen, told)
    if len(chosen.references) > 1:
        changes.section(chosen, told, seen)


def _form(chosen: Chosen, measured: Together | None, busy: bool) -> tuple[Asked, bool]:
    """The labelled texts; those the runs measured on come first."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        data = st.selectbox(
            "Labelled texts",
            _sets(measured),
            key="compare-data",
            width=300,
            accept_new_options=True,
            help="Or type path:/a/folder/file.csv with a text and a label column.",
        )
        items = st.number_input(
            "The first so many",
            2,
            1_000_000,
            measured.items if measured else _USUAL,
            key="compare-items",
            width=160,
            help="A larger number than there are takes all.",
        )
        label = "Show changed predictions" if len(chosen.references) > 1 else "Classify the texts"
        go = login.button("run", label, type="primary", icon=":material/rule:", key="compare-classify", disabled=busy)
    reading = measured.reading if measured and measured.data == data else {}
    return Asked(chosen.references, str(data or ""), int(items), reading), go


def _sets(measured: Together | None) -> list[str]:
    found = [measured.data] if measured else []
    for sample in SAMPLES.values():
        if sample.kind == "classification" and is_fetched(sample, home.settings()):
            found += [f"sample:{sample.id}/test", f"sample:{sample.id}/train"]
    return list(dict.fromkeys(found)) or ["sample:reuters-r8/test"]


def _result(reference: str) -> Result | None:
    kind, _, name = reference.partition(":")
    return home.store().candidates.get(name.rpartition("/")[2]) if kind == "run" else None


def _ask(asked: Asked, known: Together | None, say: Any) -> dict[str, Any]:
    """What the models answer: from the runs where they kept the answers, else computed now. Empty if refused."""
    request: dict[str, Any] = {"data": asked.data, "items": asked.items, **asked.reading}
    op = "classify"
    if known and all(m.answers for m in known.models):
        op = "labelled"
        request |= {"labels": known.labels, "predicted": [m.answers for m in known.models]}
    else:
        request["models"] = asked.references
    seen: dict[str, Any] = {}
    if not answered(op, request, say, lambda event: seen.update(event.get("classified", {}))):
        return {}
    seen |= {"asked": asked, "computed": op == "classify"}
    if (
        op == "labelled"
        and known
        and [m.right for m in _together(asked, seen).models] != [m.right for m in known.models]
    ):
        refused(
            "The labelled texts are not those the models were measured on: other answers are right now.",
            "Measure the models again, or restore the texts.",
        )
        return {}
    return seen


def _together(asked: Asked, seen: dict[str, Any]) -> Together:
    labels = tuple(seen["labels"])
    models = tuple(judged(seen["gold"], given, len(labels)) for given in seen["predicted"])
    return Together(asked.data, labels, models)


def _source(known: Together | None, seen: dict[str, Any], told: Together) -> None:
    texts = f"{told.items:,} texts of {md(told.data, 80)}"
    if not seen.get("computed"):
        st.caption(f":material/straighten: Measured by the runs of these models on {texts}.")
        return
    types = ", ".join(md(t) for t in dict.fromkeys(seen["dtypes"]))
    said = f":material/bolt: Computed just now on {texts}, in {types}."
    if known and [m.hits for m in known.models] != [m.hits for m in told.models]:
        said += f" The runs counted {', '.join(f'{m.hits:,}' for m in known.models)} right."
    st.caption(said)


def _matrices(chosen: Chosen, told: Together) -> None:
    """A model a column, or one under the other where there are too many classes."""
    wide = len(told.labels) > figures.COLUMNS
    places = [st.container() for _ in chosen.names] if wide else st.columns(len(chosen.names), gap="medium")
    ground = shell.ground()
    for number, (place, name, model) in enumerate(zip(places, chosen.names, told.models, strict=True)):
        found = model.accuracy()
        # Distributed, so that the matrices of one row stand at one height whatever is written above them.
        with place, st.container(border=True, height="stretch", vertical_alignment="distribute"):
            with st.container():
                st.markdown(f"**{md(name)}**")
                st.metric(
                    "Accuracy",
                    show("accuracy", found.value),
                    width="content",
                    delta_color="off",
                    delta_arrow="off",
                    delta=f"{show('accuracy', found.low)} to {show('accuracy', found.high)}",
                    help=f"{model.hits:,} of {told.items:,} texts. Below it: Wilson's 95 % interval.",
                )
                st.caption(
                    md(
                        f"Against A: {told.paired(number).sentence()}"
                        if number
                        else "The others are compared with this one."
                    )
                )
            st.plotly_chart(
                figures.confusion(model.matrix, told.labels, ground),
                key=f"compare-matrix-{number}",
                theme=None,
                config=STATIC,
                alt=figures.alt(name, model.matrix, told.labels),
            )
    st.caption(
        "Each cell: texts, and their share of the true class. Empty cells are zero, a row without shades is a class "
        "that does not occur, and shades mean the same in every matrix."
    )


def _table(chosen: Chosen, told: Together) -> None:
    with st.expander("All cells as a table", icon=":material/table:"):
        rows = []
        for i, right in enumerate(told.labels):
            for j, given in enumerate(told.labels):
                cells = [m.matrix[i][j] for m in told.models]
                if any(cells):
                    rows.append(
                        {"True class": flat(right, 60), "Class given": flat(given, 60)}
                        | {name[:1]: n for name, n in zip(chosen.names, cells, strict=True)}
                    )
        st.dataframe(rows, hide_index=True, alt="Texts of each true class and class given, for every model")
