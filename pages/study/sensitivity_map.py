"""A sensitivity as it is looked at: the map, one place of it, layers taken out, and from when on zeros pay."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.analysis.sensitivity import BreakEvenFact, Change
from core.figures import sensitivity as figures
from core.figures.anatomy import share
from core.registry.formatting import percent
from pages.frame import charts, shell
from pages.frame.text import flat, md, plural

_PLACE = "place"  # of the URL: "3" or "3.mlp.down_proj"


def explore(cells: Sequence[Change], layers_weights: int) -> None:
    """The map with a choice of sparsity, and beside it the chosen place."""
    sparsities = sorted({c.sparsity for c in cells})
    shown = (
        st.radio(
            "Sparsity on the map, %",
            [f"{100 * s:g}" for s in sparsities],
            index=len(sparsities) - 1,
            key="shown",
            horizontal=True,
        )
        if len(sparsities) > 1
        else f"{100 * sparsities[0]:g}"
    )
    sparsity = next(s for s in sparsities if f"{100 * s:g}" == shown)
    place = _place(cells)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.plotly_chart(
            figures.heatmap(cells, sparsity, shell.ground(), place),
            key="map",
            theme=None,
            on_select=_clicked,
            selection_mode="points",
            config=charts.STATIC,
            alt=figures.alt(cells, sparsity),
        )
        st.caption("Loss change in nats per token when this place alone is pruned. The stronger, the worse.")
    with right:
        place = _choose(cells, place)
        st.plotly_chart(
            figures.curve(cells, *place, shell.ground()),
            key="curve",
            theme=None,
            config=charts.STATIC,
            alt=f"Loss change of layer {place[0]}, {place[1] or 'whole'}, by sparsity",
        )
        here = next(c for c in cells if (c.layer, c.part) == place)
        st.caption(
            f"{here.parameters:,} weights: {share(here.parameters / layers_weights)} of those in all layers. "
            "Bars are 95 % intervals over the windows of text."
        )
        _shares(cells, layers_weights)


def _shares(cells: Sequence[Change], total: int) -> None:
    """How much of the layers' weights each part holds."""
    sums: dict[str, int] = {}
    for cell in {(c.layer, c.part): c for c in cells}.values():
        if cell.part is not None:
            sums[cell.part] = sums.get(cell.part, 0) + cell.parameters
    if sums:
        st.dataframe(
            {"Part": [flat(p) for p in sums], "Share of the weights, %": [100 * n / total for n in sums.values()]},
            hide_index=True,
            height="content",
            alt="Share of the layers' weights by part",
            column_config={
                "Share of the weights, %": st.column_config.ProgressColumn(format="%.1f", min_value=0, max_value=100)
            },
        )


def _place(cells: Sequence[Change]) -> tuple[int, str | None]:
    """The place in the URL, else the most sensitive layer."""
    known = {_name(c.layer, c.part): (c.layer, c.part) for c in cells}
    worst = max((c for c in cells if c.part is None), key=lambda c: c.change)
    return known.get(st.query_params.get(_PLACE, ""), (worst.layer, None))


def _name(layer: int, part: str | None) -> str:
    return f"{layer}.{part}" if part else str(layer)


def _clicked() -> None:
    points = st.session_state["map"]["selection"]["points"]
    if points:
        layer, part = points[0]["customdata"]
        st.query_params[_PLACE] = _name(int(layer), part or None)


def _choose(cells: Sequence[Change], place: tuple[int, str | None]) -> tuple[int, str | None]:
    """The same choice by keyboard."""
    names = {_name(c.layer, c.part): c for c in cells}
    st.session_state["_place"] = _name(*place)
    chosen = st.selectbox(
        "Place",
        list(names),
        key="_place",
        on_change=_picked,
        format_func=lambda n: f"Layer {names[n].layer}, {flat(names[n].part or 'whole')}",
        help="Or click a cell of the map.",
    )
    return names[chosen].layer, names[chosen].part


def _picked() -> None:
    st.query_params[_PLACE] = st.session_state["_place"]


def break_even(found: Sequence[BreakEvenFact]) -> None:
    """In one sentence, from which sparsity on zeros make this machine faster."""
    st.header("From when on zeros pay here", anchor=False)
    st.markdown(break_even_sentence(found))
    with st.expander("Each shape", icon=":material/table:"):
        st.dataframe(
            {
                "Matrix": [f"{b.rows} x {b.columns}" for b in found],
                "In the model": [b.matrices for b in found],
                "Dense, ms": [round(b.dense_ms, 4) for b in found],
                "Sparse at 90 %, ms": [round(dict(b.sparse_ms).get(0.9, float("nan")), 4) for b in found],
                "Break-even": ["never" if b.sparsity is None else percent(b.sparsity) for b in found],
            },
            hide_index=True,
            height="content",
            alt="Measured break-even sparsity of each matrix shape",
        )
        if found:
            s = found[0].settings
            st.caption(
                f"{md(str(s.get('format', '')))}, {md(str(s.get('dtype', '')))}, one token, "
                f"{plural(int(s.get('threads', 1)), 'thread')}, median of {s.get('repeats')} rounds taken in turns."
            )


def break_even_sentence(found: Sequence[BreakEvenFact]) -> str:
    """What the measured break-evens mean."""
    reached = [b.sparsity for b in found if b.sparsity is not None]
    if not reached:
        return (
            "On this machine a sparse product was never faster than the dense one for this model's matrices, up to "
            "99 % zeros: zeros alone save no time here."
        )
    low, high = min(reached), max(reached)
    one = round(low, 2) == round(high, 2)
    span = (
        f"{percent(low)} of its weights are"
        if one
        else f"{percent(low)} to {percent(high)} of its weights, by the matrix, are"
    )
    never = len(found) - len(reached)
    rest = f" For {plural(never, 'shape')} of {len(found)} it never was." if never else ""
    return (
        f"On this machine a product with a sparse (CSR) matrix is as fast as the dense one once "
        f"{span} zero, measured on this model's shapes.{rest} "
        "Below that, zeros save no time here."
    )
