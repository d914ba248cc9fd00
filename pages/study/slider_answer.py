"""What the slider shows: three figures beside the dense model's, on what they rest, and what both models write."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.registry.formatting import DASH, change, show, show_bytes
from pages.frame.text import md
from pages.frame.tokens import visible

_TEXT_HEIGHT = 130  # pixels


def figures(place: DeltaGenerator, seen: dict[str, Any], stale: bool = False) -> None:
    """Three figures, each beside the dense model's; dashes until there is an answer. `stale`: of another point."""
    before = ":gray[Before:] " if stale else ""
    with place.container(horizontal=True, gap="large"):
        if not seen:
            for label in ("Loss, preview", "Weights on disk, estimated", "Time per token, estimated"):
                st.metric(label, DASH, delta=DASH, delta_color="off", delta_arrow="off", width="content")
            return
        moved, low, high = (change("loss_change", seen[of]) for of in ("change", "low", "high"))
        st.metric(
            f"{before}Loss, preview",
            show("loss", seen["loss"]),
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta=f"{moved} ({low} to {high})",
            help=f"Nats a token on {seen['probe_tokens']} tokens. Below it: the change from the dense model on the "
            f"same text, with its 95 % interval over {seen['windows']} windows.",
        )
        same = seen["parameters"] == seen["dense_parameters"]
        st.metric(
            f"{before}Weights on disk, estimated",
            show_bytes(seen["bytes"]),
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="as the dense model" if same else f"dense: {show_bytes(seen['dense_bytes'])}",
            help=f"Parameters times the bytes of {seen['dtype']}. Zeros take as much room as other numbers.",
        )
        st.metric(
            f"{before}Time per token, estimated",
            show("decode_ms", seen["token_ms"]),
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="as the dense model" if same else f"dense: {show('decode_ms', seen['dense_token_ms'])}",
            help="The dense model's time for a token, timed once, in proportion to the parameters that are left.",
        )


def about(say: DeltaGenerator, seen: dict[str, Any]) -> None:
    if not seen:
        say.caption(DASH)
        return
    basis = f"{seen['probe_tokens']} tokens of the evaluation text"
    if seen["calibration_tokens"]:
        basis += f", calibrated on {seen['calibration_tokens']:,} tokens"
    cut = " Shown as cut: once measured it is healed, which costs it less quality." if seen.get("heals") else ""
    say.caption(f":material/visibility: Preview of {md(seen['label'])}: {basis}. Not a measurement.{cut}")


def written(place: DeltaGenerator, written: dict[str, Any]) -> None:
    """What both models go on with, strictly as text."""
    with place.container():
        left, right = st.columns(2, gap="medium")
        for column, title, key in ((left, "Dense model writes", "dense"), (right, "Pruned model writes", "pruned")):
            with column:
                st.caption(title)
                st.code(
                    visible(written.get(key) or " ", lines=True), language=None, wrap_lines=True, height=_TEXT_HEIGHT
                )
