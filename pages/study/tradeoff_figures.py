"""Figures of the candidates of some studies by column, kept until the store changes. Times are comparable ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from core.analysis.candidates import briefs
from core.analysis.paired_times import FROM_TIMES, TIMES, busy, stray, timed
from core.analysis.removed import NEEDS, REMOVED, of_original, removed
from core.analysis.time_references import References, comparable, from_time, reference, sentences
from core.registry.measurement import Measurement
from core.report.costs import Prices, money_per_million
from core.store import Store
from core.store.rows import Head
from pages.frame.cached import cached

Versions = tuple[tuple[str, str], ...]
"""Runs, each with the version of its candidates."""
Figures = dict[str, Measurement]
MONEY = "cost_per_mtok"
PRICED = "decode_ms"
"""The time that money is told from."""


@dataclass(frozen=True)
class Timing:
    """What is to be said of the times on a chart; nothing where it shows none."""

    reference: str = ""
    """How they came about."""
    busy: tuple[str, ...] = ()
    """Keys of the candidates that were timed on a busy machine."""
    alone: tuple[str, ...] = ()
    """Keys of those that are not drawn because their time cannot be compared."""


def wanted(head: Head, methods: tuple[str, ...]) -> bool:
    return head.baseline or not methods or head.method in methods


@cached(32)
def heads(store: Store, runs: Versions) -> tuple[Head, ...]:
    found: dict[str, Head] = {}
    for run, _ in runs:
        found |= {h.key: h for h in store.columns.heads(run) if h.key not in found}
    return tuple(found.values())


@cached(512)
def metrics(store: Store, run: tuple[str, str]) -> set[str]:
    """Ids of everything measured in a run."""
    return store.columns.metrics(run[0])


@cached(32)
def times(store: Store, runs: Versions, metric_id: str) -> tuple[Figures, References]:
    """A time of every candidate, comparable, and what it is relative to: one reference for all these studies."""
    found: Figures = {}
    for run, _ in reversed(runs):
        found |= store.columns.timed(run, metric_id)
    dense = {h.key for h in heads(store, runs) if h.baseline}
    refs = reference(found.items(), dense)
    return comparable(found, dense, refs), refs


@cached(32)
def values(store: Store, runs: Versions, metric_id: str, price: float | None = None) -> Figures:
    """One figure of every candidate; those of times are comparable ones.

    Args:
        price: of an hour of the machine, in USD: money is told at it, and not at all without it.
    """
    if metric_id == MONEY:
        told = {k: money_per_million(m, Prices(per_hour=price)) for k, m in values(store, runs, PRICED).items()}
        return {k: m for k, m in told.items() if m is not None}
    if metric_id in TIMES:
        return times(store, runs, metric_id)[0]
    found: Figures = {}
    if metric_id in FROM_TIMES:
        decode = times(store, runs, FROM_TIMES[metric_id])[0]
        for run, _ in reversed(runs):
            found |= {k: from_time(m, decode.get(k)) for k, m in store.columns.timed(run, metric_id).items()}
        return found
    if metric_id == REMOVED:
        return _removed(store, runs)
    for run, _ in reversed(runs):  # the first study that has a candidate tells its figures
        found |= store.columns.values(run, metric_id)
    return with_original(store, runs, metric_id, found)


def with_original(store: Store, runs: Versions, metric_id: str, found: Figures) -> Figures:
    """With the place of the dense models among figures that compare with them."""
    own = of_original(metric_id)
    return found if own is None or not found else {h.key: own for h in heads(store, runs) if h.baseline} | found


def _removed(store: Store, runs: Versions) -> Figures:
    """How much of each candidate is gone, against the dense model of its study."""
    found: Figures = {}
    for run, _ in reversed(runs):
        here = store.columns.heads(run)
        known = {b.key: b for b in briefs(here, {m: store.columns.timed(run, m) for m in NEEDS})}
        dense = next((known[h.key] for h in here if h.baseline), None)
        found |= {k: gone for k, b in known.items() if (gone := removed(b, dense)) is not None}
    return found


def comparable_only(figures: Figures) -> Figures:
    return {k: m for k, m in figures.items() if not stray(m)}


def timing(
    store: Store, runs: Versions, metric_id: str, methods: tuple[str, ...], left_out: Collection[str] = ()
) -> Timing:
    """What is said of a metric of these methods' candidates, where it is a time; `left_out` are not drawn at all."""
    if metric_id not in TIMES and metric_id not in FROM_TIMES:
        return Timing()
    shown = {h.key for h in heads(store, runs) if wanted(h, methods) and not h.baseline} - set(left_out)
    of = PRICED if metric_id == MONEY else metric_id  # money is a time at a price: the same is to be said of it
    found = {k: m for k, m in values(store, runs, of).items() if k in shown}
    if not any(timed(m) for m in found.values()):  # a counted energy is no time
        return Timing()
    of = FROM_TIMES.get(of, of)
    disturbed, alone = ([k for k, m in found.items() if is_(m)] for is_ in (busy, stray))
    return Timing(sentences(times(store, runs, of)[1], of), tuple(disturbed), tuple(alone))
