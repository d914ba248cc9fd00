"""One model to look at: its parts, its memory, where it comes from, and what can be done with it."""

from __future__ import annotations

import streamlit as st

from core.analysis.doctor import diagnose
from core.base.errors import RetortError
from core.base.memory import available
from core.catalogue.anatomy import Anatomy
from core.catalogue.classifiers import MEASURED_ALL_THE_SAME
from core.catalogue.references import ResolvedModel
from core.figures import anatomy as figures
from core.registry.formatting import show_bytes, show_count
from pages.forms import models
from pages.frame import charts, home, shell
from pages.frame.states import refused
from pages.frame.text import about, flat, md, plural
from pages.run import panel

DTYPES = {"float32": "32-bit float", "bfloat16": "16-bit float", "int8": "8-bit integer"}


def show(reference: str) -> None:
    """The anatomy, or in one sentence why there is none."""
    try:
        with st.spinner("Reading the model"):
            found = models.look(reference)
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    draw(*found)


def draw(resolved: ResolvedModel, found: Anatomy) -> None:
    if found.obstacle:
        refused(found.obstacle, found.way_on)
    if found.unjudged:
        st.warning(f"How often this model is right is not measured: {found.unjudged}. {MEASURED_ALL_THE_SAME}")
    facts(found)
    if st.button("Prune this model", type="primary", icon=":material/tune:"):
        st.switch_page(shell.path("sweep"), query_params={"model": str(resolved.reference)})
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.header("Parameters by part", anchor=False)
        st.plotly_chart(
            figures.parts(found.by_part, shell.ground()),
            theme=None,
            key="parts",
            config=charts.STATIC,
            alt=figures.alt(found.by_part),
        )
        if found.tied:
            st.caption("The output head shares the word embeddings, so they are stored and counted once.")
    with right:
        st.header("Memory", anchor=False)
        memory(found)
    st.header("Origin", anchor=False)
    provenance(resolved, found)
    st.header("What can be done with it", anchor=False)
    doctor(found)
    st.header("What it can be exported as", anchor=False)
    exports(resolved)


def doctor(found: Anatomy) -> None:
    """Every method: whether it works here, and what one trial would take."""
    verdicts = diagnose(found, available(), home.settings())
    st.dataframe(
        {
            "Method": [v.label for v in verdicts],
            "Possible": ["Yes" if v.possible else "No" for v in verdicts],
            "Really smaller": ["Yes" if v.smaller else "No" for v in verdicts],
            "Memory, about": [show_bytes(v.memory_bytes) for v in verdicts],
            "Time of one candidate": [
                "not known yet" if v.estimate.seconds is None else about(v.estimate.seconds) for v in verdicts
            ],
            "To know": [v.why for v in verdicts],
        },
        hide_index=True,
        height="content",
        alt="What each method can do with this model, and what it takes",
    )
    st.caption("Estimates, made before anything is run.")
    panel.machine_timing("model")


def exports(resolved: ResolvedModel) -> None:
    """Every form the model, and what is pruned from it, can be written in, or why not."""
    found = models.forms(resolved)
    st.dataframe(
        {
            "Format": [o.label for o in found],
            "Possible": ["Yes" if o.possible else "No" for o in found],
            "What it is": [o.explanation for o in found],
            "To know": [o.why for o in found],
        },
        hide_index=True,
        height="content",
        alt="Which formats this model can be exported in, and why not the others",
    )


def facts(found: Anatomy) -> None:
    shape = found.shape
    with st.container(horizontal=True):
        st.metric("Parameters", show_count(found.parameters), border=True, width=150)
        if shape.layers:
            st.metric("Layers", f"{shape.layers}", border=True, width=120)
        if shape.hidden:
            st.metric("Hidden size", f"{shape.hidden:,}", border=True, width=130)
        if shape.heads:
            heads = f"{shape.heads} / {shape.kv_heads}" if shape.kv_heads else str(shape.heads)
            st.metric("Query / key-value heads", heads, border=True, width=200, help=_heads(found))
        if shape.intermediate:
            st.metric("MLP size", f"{shape.intermediate:,}", border=True, width=120)
        if shape.experts:
            st.metric(
                "Experts, active", f"{shape.experts}, {shape.active_experts or shape.experts}", border=True, width=150
            )
        if shape.context:
            st.metric("Context, tokens", f"{shape.context:,}", border=True, width=150)
        if shape.vocab:
            st.metric("Vocabulary", f"{shape.vocab:,}", border=True, width=140)


def _heads(found: Anatomy) -> str:
    shape = found.shape
    if not shape.heads or not shape.kv_heads or shape.heads == shape.kv_heads:
        return "Every query head has its own keys and values."
    return f"{plural(shape.heads // shape.kv_heads, 'query head')} share one key-value head: grouped-query attention."


def memory(found: Anatomy) -> None:
    rows = [(label, show_bytes(found.bytes_in(dtype))) for dtype, label in DTYPES.items()]
    rows.append((f"Weights on disk, {found.dtype}", show_bytes(found.disk_bytes)))
    cache = found.kv_bytes_per_token
    if cache is not None:
        rows.append(("Key-value cache, per token", show_bytes(cache)))
        if found.shape.context:
            rows.append(
                (
                    f"Cache of a full context ({found.shape.context:,} tokens)",
                    show_bytes(found.kv_bytes(found.shape.context) or 0),
                )
            )
    st.table(
        {"What": [r[0] for r in rows], "Bytes": [r[1] for r in rows]},
        border="horizontal",
        hide_index=True,
        hide_header=True,
        alt="Memory the weights and the key-value cache take",
    )
    st.caption("Computed from the file's headers, not measured. 8-bit is without its scales; the cache is in 16 bits.")


def provenance(resolved: ResolvedModel, found: Anatomy) -> None:
    licence = str(resolved.provenance.get("licence") or found.licence or "not stated")
    note = str(resolved.provenance.get("note") or found.note)
    st.markdown(f"Architecture: {md(found.architecture)}. Licence: {md(licence)}.")
    st.text(f"{resolved.reference}\n{flat(str(resolved.provenance.get('source') or found.source), 300)}")
    if note:
        st.info(md(note), icon=":material/info:")
    if not found.shape.known:
        st.warning(
            "This architecture is not one Retort knows by name. Methods that only zero weights work on it; "
            "removing layers or heads may be refused.",
            icon=":material/warning:",
        )
