"""Layers taken out by hand: what the measured sensitivity says of that, and the recipe that does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.analysis.sensitivity import Change, Sensitivity, SensitivitySpec
from core.catalogue.anatomy import Anatomy
from core.catalogue.references import ResolvedModel
from core.figures import sensitivity as figures
from core.recipe.heal import USUAL
from core.recipe.recipe import Evaluation, Grid, Recipe, Sweep, Target
from core.registry.formatting import change, percent, show, show_bytes
from pages.forms import sample_study
from pages.frame import charts, home, login, shell


def by_hand(measured: Sensitivity, resolved: ResolvedModel, found: Anatomy) -> None:
    """Layers chosen by hand: what goes with them, estimated at once, and the way to measure it."""
    changes = {c.layer: c for c in measured.removed if c.part is None}
    left, right = st.columns([3, 2], gap="large")
    with right:
        cheapest = sorted(changes, key=lambda i: changes[i].change)
        chosen = st.multiselect(
            "Layers to take out",
            [str(i) for i in sorted(changes)],
            key="out",
            bind="query-params",
            max_selections=max(1, len(changes) - 1),
            placeholder=f"Least loss alone: {', '.join(map(str, cheapest[:4]))}",
        )
        gone = sorted(int(i) for i in chosen)
        if gone:
            estimate_of(gone, changes, measured, found)
            if login.button("run", "Measure this model", type="primary", icon=":material/play_arrow:"):
                run_id = sample_study.start(without(gone, len(changes), resolved, measured, found), home.settings())
                st.switch_page(shell.path("sweep"), query_params={"run": run_id})
        else:
            st.caption("Choose layers to see at once what would go with them.")
    with left:
        st.plotly_chart(
            figures.removed(measured.removed, shell.ground(), gone),
            key="removed-bars",
            theme=None,
            config=charts.STATIC,
            alt=figures.alt_removed(measured.removed),
        )
        heads_table(measured.removed)


def estimate_of(gone: Sequence[int], changes: dict[int, Change], measured: Sensitivity, found: Anatomy) -> None:
    sizes = {layer.index: layer.total for layer in found.layers}
    fewer = sum(sizes.get(i, changes[i].parameters) for i in gone)
    share = fewer / found.parameters
    with st.container(horizontal=True):
        st.metric(
            "Parameters",
            show("parameters", found.parameters - fewer),
            percent(-share, 1),
            delta_color="inverse",
            width="content",
        )
        st.metric("Weights on disk", show_bytes(found.disk_bytes * (1 - share)), width="content")
        st.metric("Loss change, sum", change("loss_change", sum(changes[i].change for i in gone)), width="content")
    st.caption(
        "Estimates. The loss change adds up what each layer costs when it alone is missing; together they may cost "
        "more or less. Measure it to know."
    )


def without(gone: Sequence[int], layers: int, resolved: ResolvedModel, measured: Sensitivity, found: Anatomy) -> Recipe:
    """A sweep of one trial that takes out exactly these layers: all others are protected."""
    stay = tuple(i for i in range(layers) if i not in gone)
    target = Target(remove_layers=len(gone))
    grid = Grid(method=("block_influence",), target=(target,), protect=stay, heal=USUAL)
    return Recipe(
        name=f"Without layers {', '.join(map(str, gone))}"[:120],
        model=str(resolved.reference),
        **readable(measured.spec, found),
        sweep=Sweep(grid=(grid,)),
    )


def heads_table(removed: Sequence[Change]) -> None:
    heads = sorted((c for c in removed if c.part is not None), key=lambda c: c.change)
    if heads:
        with st.expander(f"{len(heads)} heads, the least missed first", icon=":material/table:"):
            st.dataframe(
                {
                    "Layer": [c.layer for c in heads],
                    "Head": [int((c.part or "").split()[-1]) for c in heads],
                    "Loss change, nats": [c.change for c in heads],
                },
                hide_index=True,
                height=320,
                alt="Loss change without each attention head",
            )


def readable(spec: SensitivitySpec, found: Anatomy) -> dict[str, Any]:
    """The texts of a sweep: the measurement's calibration and the usual evaluation, in windows the model can read."""
    calibration, usual = spec.calibration, Evaluation()
    most = found.shape.context or max(calibration.length, usual.window)
    return {
        "calibration": calibration.model_copy(update={"length": min(calibration.length, most)}),
        "evaluation": usual.model_copy(update={"window": min(usual.window, most)}),
    }
