"""What the Trade-offs page shows, read by column and kept until the store changes. Shared by all sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.analysis.candidates import briefs, frame
from core.analysis.comparable import why_apart
from core.analysis.differences import examples
from core.analysis.limits import Aside, Outcome, within_limits
from core.figures.limits import draw_limits
from core.figures.points import placed
from core.figures.recovery import TRAINED, rank_flips
from core.figures.theme import theme
from core.figures.tradeoff import Point, alt, clipped, crowded, tradeoff
from core.metrics import Measurement, metric
from core.results import Result
from core.store import RunRow, Store
from core.store.columns import Head
from pages.shared import home

NEAR = 4.0
"""Times worse than the baseline: where the view "near the baseline" ends."""

Versions = tuple[tuple[str, str], ...]
"""Runs, each with the version of its candidates."""
Figures = dict[str, Measurement]


@dataclass(frozen=True)
class View:
    """All that a chart depends on beside the candidates. Limits are in the metrics' own units."""

    x: str
    y: str
    log_y: bool
    near: bool
    methods: tuple[str, ...]
    limits: tuple[tuple[str, float], ...]
    picked: tuple[tuple[str, str], ...]
    """Key and letter of the ringed ones."""
    ground: str


@dataclass(frozen=True)
class Drawn:
    """A chart with what the page says about it."""

    figure: go.Figure
    alt: str
    count: int
    hidden: tuple[Point, ...]
    flips: tuple[tuple[Point, Point], ...]
    crowded: bool
    outcome: Outcome


@dataclass(frozen=True)
class Placed:
    """Points of a chart, in the order of the studies and their trials, and two that are worth showing first."""

    points: tuple[Point, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """The candidates of some studies; their figures are read when they are asked for."""

    store: Store
    where: Path
    runs: Versions

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every candidate; one that the studies share comes once."""
        return _heads(self.store, self.where, self.runs)

    def metrics(self) -> set[str]:
        """Ids of everything measured on any of them."""
        return {m for run in self.runs for m in _metrics(self.store, self.where, run)}

    def placed(self, x: str, y: str, methods: tuple[str, ...]) -> Placed:
        """The candidates of these methods (none: of all) that have both figures, and the baselines."""
        return _placed(self.store, self.where, self.runs, x, y, methods)

    def drawn(self, view: View) -> Drawn:
        """The chart."""
        return _drawn(self.store, self.where, self.runs, view)

    def table(self, metrics: Sequence[str], methods: tuple[str, ...]) -> pd.DataFrame:
        """The candidates as a table of numbers."""
        figures = {m: _values(self.store, self.where, self.runs, m) for m in metrics}
        return frame([h for h in self.heads if _wanted(h, methods)], figures)

    def results(self, keys: Sequence[str]) -> dict[str, Result]:
        """Whole results of a few, by key."""
        return {r.key: r for r in self.store.candidates.results(keys=list(keys))}


def field(runs: Sequence[RunRow]) -> Field:
    """The candidates of these studies."""
    store = home.store()
    return Field(store, store.settings.home, tuple((r.id, store.columns.version((r.id,))) for r in runs))


def apart(runs: Sequence[RunRow], metrics: Sequence[str]) -> dict[str, list[str]]:
    """Why runs cannot be drawn with the first of them, by id: what differs, or nothing."""
    store = home.store()
    dense = [_dense(store, store.settings.home, (r.id, store.columns.version((r.id,)))) for r in runs]
    return {r.id: why_apart(dense[0], mine, metrics) for r, mine in zip(runs[1:], dense[1:], strict=True)}


def _wanted(head: Head, methods: tuple[str, ...]) -> bool:
    return head.baseline or not methods or head.method in methods


@st.cache_resource(show_spinner=False, max_entries=32)
def _heads(_store: Store, where: Path, runs: Versions) -> tuple[Head, ...]:
    found: dict[str, Head] = {}
    for run, _ in runs:
        found |= {h.key: h for h in _store.columns.heads(run) if h.key not in found}
    return tuple(found.values())


@st.cache_resource(show_spinner=False, max_entries=512)
def _metrics(_store: Store, where: Path, run: tuple[str, str]) -> set[str]:
    return _store.columns.metrics(run[0])


@st.cache_resource(show_spinner=False, max_entries=512)
def _dense(_store: Store, where: Path, run: tuple[str, str]) -> Result | None:
    key = next((h.key for h in _store.columns.heads(run[0]) if h.baseline), None)
    return None if key is None else _store.candidates.get(key)


@st.cache_resource(show_spinner=False, max_entries=32)
def _values(_store: Store, where: Path, runs: Versions, metric_id: str) -> Figures:
    found: Figures = {}
    for run, _ in reversed(runs):  # the first study that has a candidate tells its figures
        found |= _store.columns.values(run, metric_id)
    return found


@st.cache_resource(show_spinner=False, max_entries=12)
def _placed(_store: Store, where: Path, runs: Versions, x: str, y: str, methods: tuple[str, ...]) -> Placed:
    heads = [h for h in _heads(_store, where, runs) if _wanted(h, methods)]
    qualities: Figures = {}
    for run, _ in reversed(runs):
        qualities |= _store.columns.judged(run, y)
    parents = _store.columns.parents([h.key for h in heads if h.method in TRAINED])
    points = placed(heads, _values(_store, where, runs, x), qualities, parents)
    shown = {p.key for p in points if not p.baseline}
    figures = {y: qualities, "sparsity_pruned": _values(_store, where, runs, "sparsity_pruned")}
    worth = examples(briefs([h for h in heads if h.key in shown], figures), y)
    return Placed(tuple(points), tuple(c.key for c in worth))


@st.cache_resource(show_spinner=False, max_entries=32)
def _drawn(_store: Store, where: Path, runs: Versions, view: View) -> Drawn:
    points = _placed(_store, where, runs, view.x, view.y, view.methods).points
    ground, bounds = theme(view.ground), dict(view.limits)
    worst = _worst(points) if view.near else None
    figure = tradeoff(points, ground, picked=dict(view.picked), log_y=view.log_y, y_limit=worst)
    asides = [
        Aside(m, limit, {k: v.value for k, v in _values(_store, where, runs, m).items()})
        for m, limit in view.limits
        if m not in (view.x, view.y)
    ]
    outcome = Outcome((), (), "")
    if bounds:
        drawable = [p for p in points if p.drawable]
        outcome = within_limits(drawable, bounds.get(view.x), bounds.get(view.y), asides)
        hidden = {p.key for p in clipped(points, worst)}
        shown = [p for p in points if p.key not in hidden]
        draw_limits(figure, shown, bounds.get(view.x), bounds.get(view.y), outcome, ground)
    return Drawn(
        figure, f"{alt(points, worst)} {outcome.sentence}".strip(), len(points), tuple(clipped(points, worst)),
        tuple(rank_flips(points)), crowded(points), outcome,
    )  # fmt: skip


def _worst(points: Sequence[Point]) -> float | None:
    """Where the view near the baseline ends; None without a baseline."""
    dense = next((p.y for p in points if p.baseline), None)
    if dense is None:
        return None
    return dense.value * NEAR if metric(dense.metric).better == "lower" else dense.value / NEAR
