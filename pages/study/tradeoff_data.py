"""What the Trade-offs page shows, read by column and kept until the store changes. Shared by all sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from core.analysis.candidates import briefs, frame
from core.analysis.comparable import why_apart
from core.analysis.differences import examples
from core.analysis.headline import headline
from core.analysis.limits import WithinLimits, judged
from core.analysis.one_kind import OneKind
from core.analysis.paired_times import TIMES, ratio_of, words
from core.analysis.time_references import aligned
from core.figures.limits import draw_limits
from core.figures.point import Point
from core.figures.points import drawn_costs, placed
from core.figures.recovery import TRAINED, rank_flips, recoveries
from core.figures.theme import theme
from core.figures.tradeoff import alt, clipped, crowded, tradeoff
from core.recipe.results import Result
from core.registry.metrics import metric
from core.store import RunRow, Store
from core.store.rows import Head
from pages.frame import home, shell
from pages.frame.cached import cached
from pages.frame.charts import Settled
from pages.study.tradeoff_figures import (
    Figures,
    Timing,
    Versions,
    comparable_only,
    heads,
    times,
    timing,
    values,
    wanted,
)

NEAR = 4.0
"""Times worse than the baseline: where the view "near the baseline" ends."""

OFFERED = 200
"""Candidates in a list of those to compare."""


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
    height: int = 520


@dataclass(frozen=True)
class Drawn:
    """A chart with what the page says about it."""

    figure: go.Figure
    alt: str
    count: int
    hidden: tuple[Point, ...]
    flips: tuple[tuple[Point, Point], ...]
    recoveries: int
    """Models trained after pruning; arrows are drawn for up to `core.figures.recovery.MOST`."""
    crowded: bool
    outcome: WithinLimits
    timing: Timing
    other_kind: str
    """What is left out because it was estimated where the others were measured, or the other way round; or ''."""


@dataclass(frozen=True)
class TradeoffPoints:
    """Points of a chart, in the order of the studies and their trials, and two that are worth showing first."""

    points: tuple[Point, ...]
    examples: tuple[str, ...]
    heads: dict[str, Head]
    """The candidates among them by key, without the baselines."""
    best: tuple[str, ...]
    """Keys of `OFFERED` of those at most: the front, then what ties with it, then the others."""
    costs: OneKind
    """Of the points, and which candidates have a cost of the other kind."""


@dataclass(frozen=True)
class Field:
    """The candidates of some studies; their figures are read when they are asked for."""

    store: Store
    runs: Versions

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every candidate; one that the studies share comes once."""
        return heads(self.store, self.runs)

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method, in the order of its first candidate."""
        return _methods(self.store, self.runs)

    def metrics(self) -> set[str]:
        """Ids of everything measured on any of them."""
        return {m for run in self.runs for m in _metrics(self.store, run)}

    def placed(self, x: str, y: str, methods: tuple[str, ...]) -> TradeoffPoints:
        """The candidates of these methods (none: of all) that have both figures, and the baselines."""
        return _placed(self.store, self.runs, x, y, methods)

    def drawn(self, view: View) -> Drawn:
        """The chart."""
        return _drawn(self.store, self.runs, view)

    def table(self, metrics: Sequence[str], methods: tuple[str, ...]) -> pd.DataFrame:
        """The candidates as a table of numbers."""
        figures = {m: comparable_only(values(self.store, self.runs, m)) for m in metrics}
        return frame([h for h in self.heads if wanted(h, methods)], figures)

    def values(self, metric_id: str) -> Figures:
        """One figure of every candidate that has it, by key."""
        return comparable_only(values(self.store, self.runs, metric_id))

    def results(self, keys: Sequence[str]) -> dict[str, Result]:
        """Whole results of a few, by key; their times are relative to the reference of all candidates here."""
        refs = {what: ref for m in TIMES for what, ref in times(self.store, self.runs, m)[1].items()}
        return {r.key: r for r in aligned(_results(self.store, self.runs, tuple(keys)), refs)}

    def ratios(self, metric_id: str) -> dict[str, str]:
        """A time of every candidate as a share of the dense model's, with its interval, in words."""
        found = {k: ratio_of(m) for k, m in values(self.store, self.runs, metric_id).items()}
        return {k: words(ratio) for k, ratio in found.items() if ratio is not None}


def field(runs: Sequence[RunRow]) -> Field:
    """The candidates of these studies."""
    store = home.store()
    return Field(store, tuple((r.id, store.columns.version((r.id,))) for r in runs))


def overview(run: RunRow, height: int, least: int = 1) -> Drawn | None:
    """A study in small: perplexity against size; None before there are `least` points."""
    ground = shell.ground().name
    drawn = field((run,)).drawn(View("disk_bytes", "perplexity", True, False, (), (), (), ground, height))
    return drawn if drawn.count >= least else None


def said(run: RunRow) -> str:
    """What a study shows, in words; empty where there is nothing to say yet."""
    shown = field((run,))
    dense = [h.key for h in shown.heads if h.baseline][:1]
    keys = [*dense, *shown.placed("disk_bytes", "perplexity", ()).examples]
    return headline(list(shown.results(keys).values()))


def apart(runs: Sequence[RunRow], metrics: Sequence[str]) -> dict[str, list[str]]:
    """Why runs cannot be drawn with the first of them, by id: what differs, or nothing."""
    store = home.store()
    dense = [_dense(store, (r.id, store.columns.version((r.id,)))) for r in runs]
    return {r.id: why_apart(dense[0], mine, metrics) for r, mine in zip(runs[1:], dense[1:], strict=True)}


@cached(32)
def _methods(store: Store, runs: Versions) -> tuple[str, ...]:
    return tuple(dict.fromkeys(h.method for h in heads(store, runs) if not h.baseline))


@cached(512)
def _metrics(store: Store, run: tuple[str, str]) -> set[str]:
    return store.columns.metrics(run[0])


@cached(512)
def _dense(store: Store, run: tuple[str, str]) -> Result | None:
    key = next((h.key for h in store.columns.heads(run[0]) if h.baseline), None)
    return None if key is None else store.candidates.get(key)


@cached(32)
def _results(store: Store, runs: Versions, keys: tuple[str, ...]) -> list[Result]:
    return store.candidates.results(keys=keys)


@cached(8)
def _judged(store: Store, runs: Versions, y: str) -> Figures:
    found: Figures = {}
    for run, _ in reversed(runs):
        found |= store.columns.judged(run, y)
    return found


@cached(64)
def _placed(store: Store, runs: Versions, x: str, y: str, methods: tuple[str, ...]) -> TradeoffPoints:
    here = [h for h in heads(store, runs) if wanted(h, methods)]
    qualities = _judged(store, runs, y)
    parents = store.columns.parents([h.key for h in here if h.method in TRAINED])
    costs = values(store, runs, x)
    points = placed(here, costs, qualities, parents)
    candidates = [p for p in points if not p.baseline]
    by_key = {h.key: h for h in here}
    shown = {p.key: by_key[p.key] for p in candidates}
    figures = {y: qualities, "sparsity_pruned": values(store, runs, "sparsity_pruned")}
    worth = examples(briefs(list(shown.values()), figures), y)
    best = sorted(candidates, key=lambda p: (not p.front, not p.tied))[:OFFERED]
    return TradeoffPoints(
        tuple(points),
        tuple(c.key for c in worth),
        shown,
        tuple(p.key for p in best),
        drawn_costs(here, costs, qualities),
    )


@cached(48)
def _drawn(store: Store, runs: Versions, view: View) -> Drawn:
    place = _placed(store, runs, view.x, view.y, view.methods)
    points, costs = place.points, place.costs
    other_kind = costs.sentence({h.key for h in heads(store, runs) if h.baseline})
    ground, bounds = theme(view.ground), dict(view.limits)
    worst = _worst(points) if view.near else None
    figure = tradeoff(points, ground, picked=dict(view.picked), log_y=view.log_y, y_limit=worst, height=view.height)
    drawable = [p for p in points if p.drawable]
    outcome = judged(drawable, bounds, lambda m: values(store, runs, m))
    hidden = tuple(clipped(points, worst))
    if bounds:
        away = {p.key for p in hidden}
        shown = [p for p in points if p.key not in away]
        draw_limits(figure, shown, bounds.get(view.x), bounds.get(view.y), outcome, ground)
    return Drawn(
        Settled(figure),
        " ".join(s for s in (alt(points, worst), other_kind, outcome.sentence) if s),
        len(points),
        hidden,
        tuple(rank_flips(points)),
        len(recoveries(points)),
        crowded(points),
        outcome,
        timing(store, runs, view.x, view.methods, costs.left_out),
        other_kind,
    )


def _worst(points: Sequence[Point]) -> float | None:
    """Where the view near the baseline ends; None without a baseline."""
    dense = next((p.y for p in points if p.baseline), None)
    if dense is None:
        return None
    return dense.value * NEAR if metric(dense.metric).better == "lower" else dense.value / NEAR
