"""The slider: drag how much is pruned, and see within moments what that would roughly do. Everything is a preview."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalogue.anatomy import Anatomy
from core.errors import RetortError
from core.methods import METHODS
from core.metrics import show_bytes
from core.prompts import PROMPTS
from pages.shared import home, login, sample_study, shell, sweep_form
from pages.shared.live_answer import POLL, answered, run_active
from pages.shared.states import refused
from pages.shared.text import flat, md

METHODS_SHOWN = ("wanda", "magnitude", "random", "block_influence", "width_activations", "width_norm")
TOKENS = 16
_TEXT_HEIGHT = 130  # pixels
_DASH = "\u2013"
_ANSWER = "_preview-answer"


def section(reference: str, found: Anatomy, data: dict[str, Any]) -> None:
    """A box with the slider, closed until somebody opens it: only then the engine is started.

    Args:
        data: the sweep form's recipe data; the preview uses its texts, a proper measurement all its settings.
    """
    with st.container(border=True):
        help = "Loads the model once and keeps it warm, so that every drag is answered in about two seconds."
        options = login.locked("run", {"help": help})
        opened = st.toggle("Try it with a slider", key="slider", bind="query-params", **options)
        if opened and not login.lacking("run"):
            busy = run_active()
            st.fragment(_panel, run_every=POLL if busy else None)(reference, found, data, busy)


def _panel(reference: str, found: Anatomy, data: dict[str, Any], was_busy: bool) -> None:
    if run_active() != was_busy:
        st.rerun()  # the page is told: it polls only while a run has the machine
    step = _step(found)
    prompt = st.text_input("Prompt", PROMPTS[0], key="slider-prompt", max_chars=2_000)
    request = {"model": reference, "prune": step, "prompt": prompt, "tokens": TOKENS, **_texts(data)}
    say = st.empty()
    figures, texts = st.empty(), st.empty()
    shown = st.session_state.get(_ANSWER, (reference, "", {}, {}))
    if was_busy or shown[0] != reference:
        shown = (reference, "", {}, {})
    _, asked, seen, written = shown
    _figures(figures, seen)
    _written(texts, written)
    if login.button(
        "run", "Measure this point properly", icon=":material/straighten:", key="slider-measure",
        help="Starts a sweep of this one point with the settings below; it then appears like any other.",
    ):  # fmt: skip
        _measure(step, data)
    if was_busy:
        say.info("A run is using this machine; previews come back when it has ended.", icon=":material/schedule:")
    elif asked != json.dumps(request):
        _answer(request, say, figures, texts)
    else:
        _about(say, seen)


def _step(found: Anatomy) -> dict[str, Any]:
    """The method and the amount, as a prune step of a recipe."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        method = st.selectbox(
            "Method", METHODS_SHOWN, key="slider-method", format_func=lambda m: METHODS[m].label,
            help="SparseGPT and methods that use gradients or search take too long for a slider; sweeps have them.",
        )  # fmt: skip
    with right:
        family = METHODS[method].family
        if family == "weight":
            share = st.slider("Sparsity, %", 0, 95, 50, key="slider-sparsity")
            return {"method": method, "sparsity": share / 100}
        if family == "depth":
            layers = max(2, found.shape.layers or len(found.layers))
            count = st.slider(f"Layers to remove, of {layers}", 0, layers - 1, 2, key="slider-layers")
            return {"method": method, "target": {"remove_layers": count}}
        share = st.slider("Parameters to remove from the layers, %", 1, 60, 20, key="slider-share")
        return {"method": method, "target": {"block_fraction": share / 100}}


def _texts(data: dict[str, Any]) -> dict[str, Any]:
    """The form's corpora, without how much of them a sweep reads."""
    names = ("data", "split", "column")
    return {k: {n: data[k][n] for n in names if n in data[k]} for k in ("calibration", "evaluation")}


def _answer(request: dict[str, Any], say: DeltaGenerator, figures: DeltaGenerator, texts: DeltaGenerator) -> None:
    """Asks the host and draws what comes as it comes. A newer drag ends this run of the script and the request."""
    seen: dict[str, Any] = {}
    written: dict[str, Any] = {}

    def draw(event: dict[str, Any]) -> None:
        if "figures" in event:
            seen.update(event["figures"])
            _figures(figures, seen)
            _about(say, seen)
        if "text" in event:
            written.update(event["text"])
            _written(texts, written)

    def failed() -> None:
        _figures(figures, {})  # those of another point would mislead
        _written(texts, {})
        st.button("Try again", key="slider-retry", icon=":material/replay:")

    if answered("preview", request, say, draw, failed=failed, prefix="Warming up. "):
        _about(say, seen)
        st.session_state[_ANSWER] = (request["model"], json.dumps(request), seen, written)


def _figures(place: DeltaGenerator, seen: dict[str, Any]) -> None:
    """Three figures, each beside the dense model's; dashes until there is an answer."""
    with place.container(horizontal=True, gap="large"):
        if not seen:
            for label in ("Loss, preview", "Size on disk, estimated", "Time per token, estimated"):
                st.metric(label, _DASH, delta=_DASH, delta_color="off", delta_arrow="off", width="content")
            return
        st.metric(
            "Loss, preview", f"{seen['loss']:.3f}", width="content", delta_color="off", delta_arrow="off",
            delta=f"{seen['change']:+.3f} ({seen['low']:+.3f} to {seen['high']:+.3f})",
            help=f"Nats a token on {seen['probe_tokens']} tokens. Below it: the change from the dense model on the "
            f"same text, with its 95 % bootstrap interval over {seen['windows']} windows.",
        )  # fmt: skip
        same = seen["parameters"] == seen["dense_parameters"]
        st.metric(
            "Size on disk, estimated", show_bytes(seen["bytes"]), width="content", delta_color="off",
            delta_arrow="off", delta="as the dense model" if same else f"dense: {show_bytes(seen['dense_bytes'])}",
            help=f"Parameters times the bytes of {seen['dtype']}. Zeros take as much room as other numbers.",
        )  # fmt: skip
        st.metric(
            "Time per token, estimated", f"{seen['token_ms']:.1f} ms", width="content", delta_color="off",
            delta_arrow="off", delta="as the dense model" if same else f"dense: {seen['dense_token_ms']:.1f} ms",
            help="The dense model's time for a token, timed once, in proportion to the parameters that are left.",
        )  # fmt: skip


def _about(say: DeltaGenerator, seen: dict[str, Any]) -> None:
    if not seen:
        say.caption(_DASH)
        return
    basis = f"{seen['probe_tokens']} tokens of the evaluation text"
    if seen["calibration_tokens"]:
        basis += f", calibrated on {seen['calibration_tokens']:,} tokens"
    say.caption(f":material/visibility: Preview of {md(seen['label'])}: {basis}. Not a measurement.")


def _written(place: DeltaGenerator, written: dict[str, Any]) -> None:
    """What both models go on with, strictly as text."""
    with place.container():
        left, right = st.columns(2, gap="medium")
        for column, title, key in ((left, "Dense model writes", "dense"), (right, "Pruned model writes", "pruned")):
            with column:
                st.caption(title)
                st.code(written.get(key) or " ", language=None, wrap_lines=True, height=_TEXT_HEIGHT)


def _measure(step: dict[str, Any], data: dict[str, Any]) -> None:
    """A sweep of one point, with the form's texts and latency settings."""
    one = {k: [v] if k != "method" else v for k, v in step.items()}
    name = f"Measure {METHODS[step['method']].label} on {flat(data['model'], 60)}"
    try:
        recipe = sweep_form.checked(data | {"name": name, "sweep": {"keep": data["sweep"]["keep"], "grid": [one]}})
        run_id = sample_study.start(recipe, home.settings())
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    st.switch_page(shell.path("sweep"), query_params={"run": run_id})
