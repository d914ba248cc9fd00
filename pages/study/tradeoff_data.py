"""What the Trade-offs page shows, read by column and kept until the store changes. Shared by all sessions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from core.analysis.candidates import frame
from core.analysis.comparable import why_apart
from core.analysis.given_up import LOSS
from core.analysis.limits import WithinLimits, judged
from core.analysis.one_kind import OneKind
from core.analysis.paired_times import TIMES, ratio_of, words
from core.analysis.recommendation import COSTS, Recommendation
from core.analysis.recommendation_words import sentence
from core.analysis.removed import REMOVED
from core.analysis.time_references import aligned
from core.figures.limits import draw_decision
from core.figures.point import Point
from core.figures.points import drawn_costs, placed
from core.figures.recovery import rank_flips, recoveries
from core.figures.theme import theme
from core.figures.tradeoff import CHANGES, alt, clipped, crowded, tradeoff
from core.recipe.results import TRAINED, Result
from core.registry.metrics import METRICS, metric
from core.store import RunRow, Store
from core.store.rows import Head
from pages.frame import home, shell
from pages.frame.cached import cached
from pages.frame.charts import Settled
from pages.study.tradeoff_figures import (
    MONEY,
    PRICED,
    Figures,
    Timing,
    Versions,
    comparable_only,
    heads,
    metrics,
    times,
    timing,
    values,
    wanted,
    with_original,
)
from pages.study.tradeoff_recommendation import recommendation

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
    share: float | None = None
    """How much quality may be given up (0.05: 5 %); None: the usual."""
    height: int = 520
    price: float | None = None
    """Of an hour of the machine, in USD; None: money is not told."""


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
    """Points of a chart, in the order of the studies and their trials."""

    points: tuple[Point, ...]
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
        """Ids of everything measured on any of them, and money where a price makes it of a time."""
        found = {m for run in self.runs for m in metrics(self.store, run)}
        return found | {MONEY} if PRICED in found else found

    def placed(self, x: str, y: str, methods: tuple[str, ...], price: float | None = None) -> TradeoffPoints:
        """The candidates of these methods (none: of all) that have both figures, and the baselines."""
        return _placed(self.store, self.runs, x, y, methods, price)

    def drawn(self, view: View) -> Drawn:
        """The chart."""
        return _drawn(self.store, self.runs, view)

    def recommendation(
        self,
        x: str,
        methods: tuple[str, ...],
        limits: tuple[tuple[str, float], ...],
        share: float | None,
        price: float | None = None,
    ) -> Recommendation | None:
        """What the figures speak for, where `x` is made small (of the amount removed: the usual cost)."""
        return recommendation(self.store, self.runs, x, methods, limits, share, price)

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
    """A study in small: quality against what is removed; None before there are `least` points."""
    here = field((run,))
    x, y = usual(here.metrics())
    if not x or not y:
        return None
    drawn = here.drawn(View(x, y, True, False, (), (), (), shell.ground().name, height=height))
    return drawn if drawn.count >= least else None


def usual(measured: set[str]) -> tuple[str, str]:
    """The axes of the first picture of a study: the amount removed where it is known, and the change of the loss."""
    x = REMOVED if measured & {"parameters", "sparsity_pruned"} else next((m for m in COSTS if m in measured), "")
    qualities = [m for m in METRICS if m in measured and metric(m).role == "quality"]
    return x, LOSS if LOSS in measured else next(iter(qualities), "")


def recommended(run: RunRow) -> Recommendation | None:
    """What follows from a study; None where there is nothing to say yet."""
    return field((run,)).recommendation(REMOVED, (), (), None)


def saved(run: RunRow) -> set[str]:
    """Keys of the candidates of a study that are kept on disk."""
    return {h.key for h in field((run,)).heads if h.saved}


def apart(runs: Sequence[RunRow], metrics: Sequence[str]) -> dict[str, list[str]]:
    """Why runs cannot be drawn with the first of them, by id: what differs, or nothing."""
    store = home.store()
    metrics = [PRICED if m == MONEY else m for m in metrics]
    dense = [_dense(store, (r.id, store.columns.version((r.id,)))) for r in runs]
    return {r.id: why_apart(dense[0], mine, metrics) for r, mine in zip(runs[1:], dense[1:], strict=True)}


@cached(32)
def _methods(store: Store, runs: Versions) -> tuple[str, ...]:
    return tuple(dict.fromkeys(h.method for h in heads(store, runs) if not h.baseline))


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
    return with_original(store, runs, y, found)


@cached(64)
def _placed(
    store: Store, runs: Versions, x: str, y: str, methods: tuple[str, ...], price: float | None
) -> TradeoffPoints:
    here = [h for h in heads(store, runs) if wanted(h, methods)]
    qualities = _judged(store, runs, y)
    parents = store.columns.parents([h.key for h in here if h.method in TRAINED])
    costs = values(store, runs, x, price)
    points = placed(here, costs, qualities, parents)
    candidates = [p for p in points if not p.baseline]
    by_key = {h.key: h for h in here}
    shown = {p.key: by_key[p.key] for p in candidates}
    best = sorted(candidates, key=lambda p: (not p.front, not p.tied))[:OFFERED]
    shown_best = tuple(p.key for p in best)
    return TradeoffPoints(tuple(points), shown, shown_best, drawn_costs(here, costs, qualities))


@cached(48)
def _drawn(store: Store, runs: Versions, view: View) -> Drawn:
    place = _placed(store, runs, view.x, view.y, view.methods, view.price)
    points, costs = place.points, place.costs
    other_kind = costs.sentence({h.key for h in heads(store, runs) if h.baseline})
    ground, bounds = theme(view.ground), dict(view.limits)
    worst = _worst(points) if view.near else None
    figure = tradeoff(points, ground, picked=dict(view.picked), log_y=view.log_y, y_limit=worst, height=view.height)
    drawable = [p for p in points if p.drawable]
    outcome = judged(drawable, bounds, lambda m: values(store, runs, m, view.price))
    hidden = tuple(clipped(points, worst))
    told = recommendation(store, runs, view.x, view.methods, view.limits, view.share, view.price)
    away = {p.key for p in hidden}
    draw_decision(figure, [p for p in points if p.key not in away], told, bounds, outcome.aside, ground)
    said = [alt(points, worst), other_kind, outcome.sentence, sentence(told) if told is not None else ""]
    return Drawn(
        Settled(figure),
        " ".join(s for s in said if s),
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
    if dense.metric in CHANGES:  # nats: so much more loss is so many times the perplexity
        return dense.value + math.log(NEAR)
    return dense.value * NEAR if metric(dense.metric).better == "lower" else dense.value / NEAR
