"""The form of a sensitivity measurement: every choice is bound to the URL."""

from __future__ import annotations

from typing import Final

import streamlit as st
from pydantic import ValidationError

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.recipe.messages import sentences
from core.registry.methods import METHODS
from pages.frame.text import flat, md

CORPORA = ["sample:wiki"]
REMOVED = {"layers": "Each layer", "layers_and_heads": "Each layer and each head", "nothing": "Nothing"}
URL: Final = "query-params"


def form(model: str, context: int | None) -> dict[str, object]:
    """Draws the form and returns what was chosen, unchecked."""
    methods = {m.id: m for m in METHODS.values() if not m.structured}
    with st.container(border=True):
        st.header("What is pruned, one place at a time", anchor=False)
        left, right = st.columns(2, gap="medium")
        method = left.selectbox(
            "Method",
            list(methods),
            key="method",
            bind=URL,
            format_func=lambda m: methods[m].label,
            help="Only one layer, or one part of it, is pruned at a time; everything else stays dense.",
        )
        amounts = right.multiselect(
            "Sparsities, %",
            [str(p) for p in range(10, 100, 10)],
            default=["30", "50", "70"],
            key="sparsity",
            bind=URL,
            accept_new_options=True,
            max_selections=10,
        )
        left.caption(md(methods[method].summary))
        parts = right.toggle("Each part of a layer too", value=True, key="parts", bind=URL)
        removed = st.radio(
            "Taken out, one at a time",
            list(REMOVED),
            key="removed",
            bind=URL,
            format_func=REMOVED.__getitem__,
            horizontal=True,
        )
    with st.container(border=True):
        st.header("Text the loss is measured on", anchor=False)
        a, b, c = st.columns([2, 1, 1], gap="medium")
        data = a.selectbox(
            "Text",
            CORPORA,
            key="text",
            bind=URL,
            accept_new_options=True,
            format_func=lambda t: flat(t, 80),
            help="Also path:/folder/file.txt. Of the sample a part is read that no sweep evaluates on.",
        )
        longest = context or 131_072
        tokens = b.number_input("Tokens", 64, 1_000_000, 4_096, step=512, key="tokens", bind=URL)
        window = c.number_input("In each window", 8, longest, min(256, longest), key="window", bind=URL)
    sample = data == "sample:wiki"
    evaluation = {"data": data, "split": "training" if sample else None, "tokens": tokens, "window": window}
    return {
        "model": model,
        "method": method,
        "sparsities": [_fraction(a) for a in amounts],
        "parts": parts,
        "removed": removed,
        "evaluation": evaluation,
        "calibration": {"length": min(256, longest)},
    }


def checked(data: dict[str, object]) -> SensitivitySpec:
    """The measurement asked for.

    Raises:
        RetortError: what is wrong with it.
    """
    if not data["sparsities"]:
        raise RetortError("No sparsity is chosen.", "Choose at least one.")
    try:
        return SensitivitySpec.model_validate(data)
    except ValidationError as failed:
        said = "; ".join(s.rstrip(".") for s in sentences(failed))
        raise RetortError(f"These choices cannot be measured: {said}.", "Change them; nothing was started.") from None


def _fraction(text: str) -> float | str:
    try:
        return round(float(text.strip().removesuffix("%").replace(",", ".")) / 100, 6)
    except ValueError:
        return text
