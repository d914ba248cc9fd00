"""The slider: drag how much is pruned, and see within moments what that would roughly do. Everything is a preview."""

from __future__ import annotations

import json
import math
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.analysis.estimate import computed_in
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.recipe import n_of_m
from core.registry.formatting import show_bytes, significant
from core.registry.methods import METHODS
from core.registry.prompts import PROMPTS
from pages.forms import models, sample_study, sweep
from pages.forms.sweep import PATTERNS
from pages.frame import home, login, shell
from pages.frame.live_answer import POLL, answered, run_active
from pages.frame.states import refused
from pages.frame.text import md
from pages.frame.tokens import visible

METHODS_SHOWN = ("wanda", "magnitude", "random", "block_influence", "width_activations", "width_norm")
TOKENS = 16
_TEXT_HEIGHT = 130  # pixels
_BESIDE = (".json", ".txt", ".model", ".jinja")  # files that are saved with the weights
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
    step = _step(reference, found)
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
        "run",
        "Measure this point properly",
        icon=":material/straighten:",
        key="slider-measure",
        help="Starts a sweep of this one point with the settings below; it then appears like any other.",
    ):
        _measure(step, data)
    if was_busy:
        say.info("A run is using this machine; previews come back when it has ended.", icon=":material/schedule:")
    elif asked != json.dumps(request):
        _answer(request, say, figures, texts)
    else:
        _about(say, seen)


def _step(reference: str, found: Anatomy) -> dict[str, Any]:
    """The method and the amount, as a prune step of a recipe."""
    left, middle, right = st.columns([3, 2, 4], gap="medium")
    with left:
        method = st.selectbox(
            "Method",
            METHODS_SHOWN,
            key="slider-method",
            format_func=lambda m: METHODS[m].label,
            help="SparseGPT and methods that use gradients or search take too long for a slider; sweeps have them.",
        )
    family = METHODS[method].family
    if family == "weight":
        return {"method": method, **_zeros(middle, right)}
    by = middle.radio(
        "Say how much by",
        ("parts", "size"),
        key="slider-by",
        horizontal=True,
        format_func={"parts": "Layers" if family == "depth" else "Share", "size": "Size"}.__getitem__,
        help="Size: the model as large on disk as you say, or a little smaller.",
    )
    with right:
        if by == "size":
            return {"method": method, "target": {"megabytes": _megabytes(reference, found, family)}}
        if family == "depth":
            layers = max(2, found.shape.layers or len(found.layers))
            count = st.slider(f"Layers to remove, of {layers}", 0, layers - 1, 2, key="slider-layers")
            return {"method": method, "target": {"remove_layers": count}}
        share = st.slider("Parameters to remove from the layers, %", 1, 60, 20, key="slider-share")
        return {"method": method, "target": {"block_fraction": share / 100}}


def _zeros(middle: DeltaGenerator, right: DeltaGenerator) -> dict[str, Any]:
    """How many zeros, and where they may be. A pattern fixes its sparsity, so there is nothing to drag then."""
    pattern = middle.selectbox(
        "Where the zeros may be",
        list(PATTERNS),
        key="slider-pattern",
        format_func=PATTERNS.__getitem__,
        help="Patterns such as 2 of every 4 are what some GPUs can use.",
    )
    if pattern == "unstructured":
        return {"sparsity": right.slider("Sparsity, %", 0, 95, 50, key="slider-sparsity") / 100}
    stay, of = n_of_m(pattern)
    right.caption(f"{stay} of every {of} weights stay: {100 - 100 * stay / of:g} % are zero, whatever else is chosen.")
    return {"pattern": pattern}


def _megabytes(reference: str, found: Anatomy, family: str) -> float:
    """The size to reach, between what is left with one layer (or two fifths of every layer) and the model as it is."""
    inside = sum(layer.total for layer in found.layers)
    kept = inside / max(1, len(found.layers)) if family == "depth" else 0.4 * inside
    dense = _dense_bytes(reference, found)
    beside = sum(f.stat().st_size for f in models.look(reference)[0].folder.iterdir() if f.suffix in _BESIDE)
    beside += 20_000 + 1_500 * len(found.layers)  # the model card, and the names in the files' headers
    most = (dense + beside) / 1e6
    least = (dense * (found.parameters - inside + kept) / max(1, found.parameters) + beside) / 1e6
    step = 1.0 if most >= 20 else 0.001  # a tiny model has less than a megabyte
    first, last = math.ceil(least / step), math.ceil(most / step)
    middle = min(last, max(first, math.ceil(0.85 * most / step)))
    low, high, start = (round(n * step, 3) for n in (min(first, last - 1), last, middle))
    return st.slider(
        f"Size to reach, MB (about {significant(most, 4)} as it is)",
        low,
        high,
        start,
        step,
        format="%.0f" if most >= 20 else "%.3f",
        key=f"slider-megabytes-{family}-{high:g}",
        help="The whole folder: weights, tokenizer and configuration.",
    )


def _dense_bytes(reference: str, found: Anatomy) -> int:
    """The weights as this machine computes and saves them: what a preview said, else by the type it computes in."""
    shown = st.session_state.get(_ANSWER)
    if shown and shown[0] == reference and shown[2]:
        return int(shown[2]["dense_bytes"])
    return found.bytes_in(computed_in(home.settings()))


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
            for label in ("Loss, preview", "Weights on disk, estimated", "Time per token, estimated"):
                st.metric(label, _DASH, delta=_DASH, delta_color="off", delta_arrow="off", width="content")
            return
        st.metric(
            "Loss, preview",
            f"{seen['loss']:.3f}",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta=f"{seen['change']:+.3f} ({seen['low']:+.3f} to {seen['high']:+.3f})",
            help=f"Nats a token on {seen['probe_tokens']} tokens. Below it: the change from the dense model on the "
            f"same text, with its 95 % bootstrap interval over {seen['windows']} windows.",
        )
        same = seen["parameters"] == seen["dense_parameters"]
        st.metric(
            "Weights on disk, estimated",
            show_bytes(seen["bytes"]),
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="as the dense model" if same else f"dense: {show_bytes(seen['dense_bytes'])}",
            help=f"Parameters times the bytes of {seen['dtype']}. Zeros take as much room as other numbers.",
        )
        st.metric(
            "Time per token, estimated",
            f"{seen['token_ms']:.1f} ms",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta="as the dense model" if same else f"dense: {seen['dense_token_ms']:.1f} ms",
            help="The dense model's time for a token, timed once, in proportion to the parameters that are left.",
        )


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
                st.code(
                    visible(written.get(key) or " ", lines=True), language=None, wrap_lines=True, height=_TEXT_HEIGHT
                )


def _measure(step: dict[str, Any], data: dict[str, Any]) -> None:
    """A sweep of one point, with the form's texts and latency settings."""
    one = {k: [v] if k != "method" else v for k, v in step.items()}
    try:
        recipe = sweep.checked(data | {"sweep": {"keep": data["sweep"]["keep"], "grid": [one]}})
        run_id = sample_study.start(recipe, home.settings())
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    st.switch_page(shell.path("sweep"), query_params={"run": run_id})
