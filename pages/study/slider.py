"""The slider: drag how much is pruned, and see within moments what that would roughly do. Everything is a preview."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.analysis.estimate import computed_in
from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.recipe import n_of_m
from core.registry.formatting import significant
from core.registry.methods import METHODS
from core.registry.prompts import PROMPTS
from pages.forms import models, sample_study, sweep
from pages.forms.sweep import PATTERNS
from pages.frame import home, login, shell
from pages.frame.live_answer import POLL, answered, run_active
from pages.frame.states import refused
from pages.frame.text import md
from pages.study import slider_answer as answer
from pages.study import slider_trail

METHODS_SHOWN = ("wanda", "magnitude", "random", "block_influence", "width_activations", "width_norm")
TOKENS = 16
_BESIDE = (".json", ".txt", ".model", ".jinja")  # files that are saved with the weights
_ANSWER = "_preview-answer"
_CSS = Path(__file__).parent / "assets" / "slider.css"
_SLIDER = "slider"  # in the address once something was changed


def section(reference: str, found: Anatomy, data: dict[str, Any]) -> None:
    """A box with the slider. The engine is started by the first change, or by the button: not by opening the page.

    Args:
        data: the sweep form's recipe data; the preview uses its texts, a proper measurement all its settings.
    """
    with st.container(border=True):
        st.html(_CSS)
        st.header("Try it with a slider", anchor=False)
        if lacking := login.lacking("run"):
            st.caption(md(lacking))
            return
        busy = run_active()
        st.fragment(_panel, run_every=POLL if busy else None)(reference, found, data, busy)


def _awake() -> bool:
    """Whether the engine may be started: something was changed, here or by whoever made the address."""
    return st.query_params.get(_SLIDER) == "true"


def _wake() -> None:
    st.query_params[_SLIDER] = "true"


_LIVE: Final[dict[str, Any]] = {"bind": "query-params", "on_change": _wake}
"""Of every choice here: it stays in the address, and starts the engine."""


def _panel(reference: str, found: Anatomy, data: dict[str, Any], was_busy: bool) -> None:
    if run_active() != was_busy:
        st.rerun()  # the page is told: it polls only while a run has the machine
    step = _step(reference, found)
    prompt = st.text_input("Prompt", PROMPTS[0], key="slider-prompt", max_chars=2_000, on_change=_wake)
    request = {"model": reference, "prune": step, "prompt": prompt, "tokens": TOKENS, **_texts(data)}
    say = st.empty()
    figures, chart, texts = st.empty(), st.empty(), st.empty()
    shown = st.session_state.get(_ANSWER, (reference, "", {}, {}))
    if was_busy or shown[0] != reference:
        shown = (reference, "", {}, {})
    _, asked, seen, written = shown
    stale = bool(seen) and asked != json.dumps(request)
    if _awake():  # as high without an answer as with one, so that nothing below jumps
        answer.figures(figures, seen, stale)
        answer.written(texts, written)
    slider_trail.draw(chart, reference, "before")
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
    elif not _awake():
        st.button(
            "Show what it does",
            key="slider-wake",
            icon=":material/visibility:",
            on_click=_wake,
            help="Loads the model once and keeps it warm, so that every drag is answered in about two seconds.",
        )
        say.caption("Drag, or press the button: the model is loaded then, and every drag after it is quick.")
    elif asked != json.dumps(request):
        if _answer(request, say, figures, texts):
            slider_trail.remember(reference, step, st.session_state[_ANSWER][2])
            slider_trail.draw(chart, reference, "after")
    else:
        answer.about(say, seen)


def _step(reference: str, found: Anatomy) -> dict[str, Any]:
    """The method and the amount, as a prune step of a recipe."""
    left, middle, right = st.columns([3, 2, 4], gap="medium")
    with left:
        method = st.selectbox(
            "Method",
            METHODS_SHOWN,
            key="slider-method",
            **_LIVE,
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
        **_LIVE,
        horizontal=True,
        format_func={"parts": "Layers" if family == "depth" else "Share", "size": "Size"}.__getitem__,
        help="Size: the model as large on disk as you say, or a little smaller.",
    )
    with right:
        if by == "size":
            return {"method": method, "target": {"megabytes": _megabytes(reference, found, family)}}
        if family == "depth":
            layers = max(2, found.shape.layers or len(found.layers))
            count = st.slider(f"Layers to remove, of {layers}", 0, layers - 1, 2, key="slider-layers", **_LIVE)
            return {"method": method, "target": {"remove_layers": count}}
        share = st.slider("Parameters to remove from the layers, %", 1, 60, 20, key="slider-share", **_LIVE)
        return {"method": method, "target": {"block_fraction": share / 100}}


def _zeros(middle: DeltaGenerator, right: DeltaGenerator) -> dict[str, Any]:
    """How many zeros, and where they may be. A pattern fixes its sparsity, so there is nothing to drag then."""
    pattern = middle.selectbox(
        "Where the zeros may be",
        list(PATTERNS),
        key="slider-pattern",
        **_LIVE,
        format_func=PATTERNS.__getitem__,
        help="Patterns such as 2 of every 4 are what some GPUs can use.",
    )
    if pattern == "unstructured":
        return {"sparsity": right.slider("Sparsity, %", 0, 95, 50, key="slider-sparsity", **_LIVE) / 100}
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
        on_change=_wake,
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


def _answer(request: dict[str, Any], say: DeltaGenerator, figures: DeltaGenerator, texts: DeltaGenerator) -> bool:
    """Asks the host and draws what comes as it comes; True where the answer is whole.

    A newer drag ends this run of the script and the request.
    """
    seen: dict[str, Any] = {}
    written: dict[str, Any] = {}

    def draw(event: dict[str, Any]) -> None:
        if "figures" in event:
            seen.update(event["figures"])
            answer.figures(figures, seen)
            answer.about(say, seen)
        if "text" in event:
            written.update(event["text"])
            answer.written(texts, written)

    def failed() -> None:
        answer.figures(figures, {})  # those of another point would mislead
        answer.written(texts, {})
        st.button("Try again", key="slider-retry", icon=":material/replay:")

    if answered("preview", request, say, draw, failed=failed, prefix="Warming up. "):
        answer.about(say, seen)
        st.session_state[_ANSWER] = (request["model"], json.dumps(request), seen, written)
        return True
    return False


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
