"""The choices of the Trade-offs page: studies, filters, axes and limits. All of them are in the address."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.analysis.given_up import LOSS
from core.analysis.limits import limit_unit
from core.analysis.removed import REMOVED
from core.figures.theme import method_style
from core.registry.metrics import METRICS, metric
from core.report.costs import MONEY_FORMULA
from core.store import RunRow, Store
from pages.frame import home, studies, urls, yardstick
from pages.frame.cached import cached
from pages.frame.text import flat
from pages.study import limits as bounds
from pages.study import recommended, selection
from pages.study.tradeoff_data import usual
from pages.study.tradeoff_figures import MONEY

_LISTED = 200
_LIMITED = "_limited"
PRICE = "price"
"""Name of the price of an hour in the address, here and on the report."""


def chosen() -> tuple[list[RunRow], str]:
    """The studies to draw, the one that sets the measure first, and what there is to say about the list.

    The first is the one in the address, else the one looked at last, else the newest with candidates.
    """
    store = home.store()
    state = store.columns.state()
    _, models, tags = studies.known(store, state)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        place = st.container(width=720)
        model = urls.select("Model", "model", models, flat, placeholder="Any", width=240) if len(models) > 1 else None
        tag = urls.select("Tag", "tag", tags, flat, placeholder="Any", width=200) if tags else None
    runs = _listed(store, state, model, tag)
    by_id = {r.id: r for r in runs}
    for wanted in st.query_params.get_all("run")[: yardstick.MOST_JOINED]:
        if wanted not in by_id:  # older than the list, or not of this filter, or gone
            found = store.runs.get(wanted)
            if (model is None or found.model == model) and (tag is None or tag in found.tags):
                by_id[wanted] = found
    if not by_id:
        return [], ""
    last = st.session_state.get("_study")
    first = last if last in by_id else next((r.id for r in runs if r.trials_done), next(iter(by_id)))
    with place:
        ids = urls.several(
            "Studies",
            "run",
            list(by_id),
            lambda i: studies.label(by_id[i]),
            default=[first, *(i for i in yardstick.joined(by_id[first]) if i in by_id)],
            max_selections=yardstick.MOST_JOINED,
            on_change=selection.put,
            args=([],),
            help="Several stand on one chart where they measured the same model in the same way.",
        )
    ids = ids or [first]
    st.session_state["_study"] = ids[0]
    return [by_id[i] for i in ids], _more(store, len(runs), model, tag)


def _more(store: Store, listed: int, model: str | None, tag: str | None) -> str:
    if listed < _LISTED:
        return ""
    there = store.runs.count(kinds=studies.KINDS, model=model, tag=tag)
    return f"The list holds the newest {listed} of {there:,} studies; a model or a tag finds older ones."


@cached(8)
def _listed(store: Store, state: int, model: str | None, tag: str | None) -> list[RunRow]:
    return store.runs.find(kinds=studies.KINDS, model=model, tag=tag, limit=_LISTED)


def axes(found: set[str]) -> tuple[str, str] | None:
    """Cost and quality; None where there is nothing to draw."""
    costs, qualities = of_role(found, "cost"), of_role(found, "quality")
    usual_x, usual_y = usual(found)
    costs = [usual_x, *(c for c in costs if c != usual_x)]
    if not usual_x or not usual_y:
        return None
    y = urls.select(
        "Quality",
        "y",
        qualities,
        _label,
        default=usual_y,
        width=220,
        help="How good the candidates are, upwards on the chart.",
    )
    x = urls.select(
        "Against",
        "x",
        costs,
        _label,
        default=usual_x,
        width=220,
        help="What is removed, or what the candidates cost: to the right on the chart.",
    )
    assert x is not None and y is not None
    return x, y


def price(x: str, limits: Sequence[str]) -> float | None:
    """The price of an hour in USD that money is told at, asked for where money is drawn or limited; else None."""
    if x != MONEY and MONEY not in limits:
        return None
    return float(
        st.number_input(
            "Price of an hour (USD)",
            0.0001,
            1e6,
            1.0,
            format="%g",
            key=PRICE,
            bind="query-params",
            width=200,
            help=f"{MONEY_FORMULA[0].upper()}{MONEY_FORMULA[1:]}, one sequence at a time.",
        )
    )


def methods(found: Sequence[str]) -> tuple[str, ...]:
    """The methods to draw; none: all."""
    ids = list(dict.fromkeys(found))
    if len(ids) < 2:
        return ()
    return tuple(
        urls.several(
            "Methods", "method", ids, lambda m: flat(method_style(m).label), placeholder="All methods", width=330
        )
    )


def view(near_words: str) -> tuple[bool, bool]:
    """Whether quality is logarithmic, and whether what is far from the baseline is left out."""
    log_y = st.toggle("Logarithmic quality", value=True, key="log", bind="query-params")
    return log_y, st.toggle("Near the baseline", key="near", bind="query-params", help=near_words)


def limits(x: str, y: str, found: set[str]) -> tuple[tuple[str, float], ...]:
    """Limits the reader sets, in the metrics' own units: on the axes, and on any other figure that was measured."""
    usual_ = ("disk_bytes", "decode_ms") if x == REMOVED else (x,)
    first = [m for m in (*usual_, y) if m in found and m != LOSS]  # the loss has a limit of its own, in percent
    others = [m for m in (*of_role(found, "cost"), *of_role(found, "quality")) if m not in first]
    st.session_state.setdefault(_LIMITED, [])
    wanted = [m for m in others if bounds.key(m) in st.query_params or m in st.session_state[_LIMITED]]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        recommended.ask(found)
        set_ = [(m, _bound(m)) for m in (*first, *wanted)]
        left = [m for m in others if m not in wanted]
        if left:
            st.selectbox(
                "Limit another figure",
                left,
                index=None,
                key="_more",
                format_func=_label,
                width=240,
                placeholder="Choose",
                on_change=_add_limit,
                help="It applies although it is not on the chart.",
            )
    return tuple((m, bound) for m, bound in set_ if bound is not None)


def _add_limit() -> None:
    chosen_ = st.session_state.get("_more")
    if chosen_:
        st.session_state[_LIMITED] = [*st.session_state[_LIMITED], chosen_]
    st.session_state["_more"] = None


def _bound(metric_id: str) -> float | None:
    described = metric(metric_id)
    unit, _ = limit_unit(metric_id)
    bound = "at most" if described.better == "lower" else "at least"
    value = st.number_input(
        f"{described.label}, {bound}" + (f" ({unit})" if unit else ""),
        value=None,
        format="%g",
        width=300,
        key=bounds.key(metric_id),
        bind="query-params",
        placeholder="No limit",
        help="What is outside is marked on the chart, and the best candidate inside is ringed.",
    )
    return bounds.own(metric_id, value)


def of_role(found: set[str], role: str) -> list[str]:
    """The metrics of a role in the registry's order; those of another version last."""
    known = [*(m for m in METRICS if m in found), *sorted(found - set(METRICS))]
    return [m for m in known if metric(m).role == role]


def _label(metric_id: str) -> str:
    return metric(metric_id).label
