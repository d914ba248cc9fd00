"""What the slider showed so far, as dots on the curves of the model's latest study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.figures.preview_dots import Dot, with_dots
from core.recipe.recipe import n_of_m
from core.registry.formatting import change, percent
from pages.frame import charts, home, shell
from pages.study import tradeoff_data

_TRAIL = "_preview-trail"
_MOST = 12
_HEIGHT = 330  # pixels


def remember(reference: str, step: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    """Adds a whole answer to the trail of this model."""
    trails: dict[str, list[Dot]] = st.session_state.setdefault(_TRAIL, {})
    dot = Dot(seen["label"], _amount(step, seen), seen["change"], seen["low"], seen["high"])
    trail = [d for d in trails.get(reference, []) if d.label != dot.label]
    trails[reference] = [*trail, dot][-_MOST:]


def draw(place: DeltaGenerator, reference: str, key: str) -> None:
    """The curves of the latest study of this model with the dots; nothing where there is neither.

    A run of the script may draw it twice, before and after an answer: `key` tells the two apart.
    """
    dots = st.session_state.get(_TRAIL, {}).get(reference, [])
    runs = home.store().runs.find(kinds=("sweep",), model=reference, limit=5)
    latest = next((r for r in runs if r.trials_done > 1), None)
    study = None if latest is None else tradeoff_data.overview(latest, _HEIGHT, least=2)
    if study is None and not dots:
        place.empty()
        return
    made = None if study is None else study.figure.to_dict()
    with place.container():
        st.plotly_chart(
            with_dots(made, dots, shell.ground(), _HEIGHT),
            theme=None,
            config=charts.STATIC,
            key=f"slider-chart-{key}",
            alt=_alt(dots, latest is not None),
        )
        if latest is not None:
            st.caption(
                "Lines: the latest study of this model. Asterisks: previews on less text, so a rough place only."
            )


def _amount(step: Mapping[str, Any], seen: Mapping[str, Any]) -> float:
    """How much is gone, in percent, as the charts count it."""
    if seen["parameters"] < seen["dense_parameters"]:
        return 100.0 * (1.0 - float(seen["parameters"]) / float(seen["dense_parameters"]))
    if "pattern" in step:
        stay, of = n_of_m(str(step["pattern"]))
        return 100.0 - 100.0 * stay / of
    return 100.0 * float(step.get("sparsity", 0.0))


def _alt(dots: list[Dot], study: bool) -> str:
    what = "the latest study of this model" if study else "no study yet"
    if not dots:
        return f"Change of the loss against the amount removed: {what}, no preview yet."
    now = dots[-1]
    return (
        f"Change of the loss against the amount removed: {what}, and {len(dots)} previews. The last, {now.label}: "
        f"{change('loss_change', now.change)} at {percent(now.amount / 100.0, 1)} removed."
    )
