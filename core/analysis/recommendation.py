"""Which candidate of a study to take: the smallest within a limit, what is smaller at no loss, and the next step down.

A difference inside the error is none: of candidates whose cost the error does not tell apart the better one is named,
and a candidate is smaller only where its cost is lower beyond the error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.analysis.given_up import LOSS, GivenUp, allowed, given_up, measure_of
from core.analysis.paired_times import deciding, stray
from core.analysis.promised_vs_measured import Measured, beside, find, same, share_of, sparsity_of, within
from core.registry.metrics import metric

COSTS = ("disk_bytes", "memory_bytes", "parameters", "decode_ms", "prefill_ms")
"""What 'smaller' means where the reader does not say: the first of these that the study has."""


class Candidate(Measured, Protocol):
    """A candidate with the figures that decide: a `Result`, or a `Brief`."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Offer:
    """A candidate as it stands beside the original."""

    candidate: Candidate
    given_up: GivenUp
    cost: float
    """As a share of the original's."""
    smaller: bool
    """Whether the cost is lower beyond the error."""
    keeps: bool
    """Whether every limit is kept."""

    @property
    def key(self) -> str:
        return self.candidate.key


@dataclass(frozen=True)
class Recommendation:
    """What follows from the figures of a study. Each may be missing."""

    measure: str
    cost: str
    baseline: Candidate
    allowed: float | None
    """How much quality may be given up; None where the reader limits something else."""
    limits: tuple[tuple[str, float], ...]
    best: Offer | None
    """The one to take."""
    safe: Offer | None
    """The one that is within the limit with the whole of its interval, where `best` is not."""
    free: Offer | None
    """The smallest for which no loss of quality can be claimed."""
    next: Offer | None
    """Of those smaller than `best` (or, without it, of all that are smaller) the one that gives up least. Where only
    costs are limited: the smallest, if none is within."""
    sparsest: Offer | None
    """Where there is no `best`: the sparsest within the limit, which saves no room."""
    offers: tuple[Offer, ...] = ()
    """All that could be compared."""

    @property
    def shown(self) -> list[str]:
        """Keys of the candidates it names that are worth showing first, at most two."""
        named = (self.best or self.next, self.next, self.sparsest)
        return list(dict.fromkeys(o.key for o in named if o is not None))[:2]


def recommend(
    candidates: Sequence[Candidate],
    baseline: Candidate | None,
    *,
    cost: str | None = None,
    limits: Mapping[str, float] | None = None,
    share: float | None = None,
) -> Recommendation | None:
    """The choice that the figures of a study speak for.

    Args:
        candidates: of one study or several with the same yardstick; times comparable (core/analysis/paired_times.py).
        cost: the metric to make small; None: the first of `COSTS` that any candidate shares with the original.
        limits: the reader's, by metric, in its own unit. A limit of quality takes the place of `share`; where only
            costs are limited the best quality within them is chosen, else the lowest cost.
        share: how much quality may be given up (0.05: 5 % more loss, or 5 points of accuracy); None: the usual.
    Returns:
        None where nothing can be compared: no original, or no quality or cost that both have.
    """
    if baseline is None:
        return None
    measure = measure_of(candidates, baseline)
    cost = cost or next((m for m in COSTS if any(_cost(c, baseline, m) for c in candidates)), None)
    if measure is None or cost is None:
        return None
    bounds = dict(limits or {})
    most = None if bounds else (allowed(measure) if share is None else share)
    found = [o for c in candidates if (o := _offer(c, baseline, measure, cost, bounds, most)) is not None]
    if not found:
        return None
    smaller = [o for o in found if o.smaller]
    inside = [o for o in smaller if o.keeps]
    only_costs = bool(bounds) and all(metric(m).role == "cost" for m in bounds)
    best = (_best_quality if only_costs else _least)(inside, cost)
    sure = [o for o in inside if most is not None and o.given_up.high is not None and o.given_up.high <= most]
    unsure = best is not None and best not in sure and most is not None and best.given_up.high is not None
    free = _least([o for o in smaller if o.given_up.none], cost)
    further = [o for o in smaller if best is None or o.cost < best.cost]
    zeros = [o for o in found if o.keeps and sparsity_of(o.candidate) is not None] if best is None else []
    return Recommendation(
        measure,
        cost,
        baseline,
        most,
        tuple(bounds.items()),
        best,
        _least(sure, cost) if unsure else None,
        free,
        _next(further, best, only_costs),
        max(zeros, key=lambda o: (_sparsity(o), -o.given_up.value), default=None),
        tuple(found),
    )


def bound_on(told: Recommendation, metric_id: str) -> float | None:
    """The limit on quality as a value of `metric_id`, in its own unit; None where it says nothing about it."""
    if told.allowed is None:
        return None
    if told.measure != LOSS:
        dense = find(told.baseline, told.measure)
        return dense.value - told.allowed if dense is not None and metric_id == told.measure else None
    original = original_loss(told.baseline)
    if original is None:
        return None
    loss = original * (1.0 + told.allowed)
    return {LOSS: original * told.allowed, "loss": loss, "perplexity": math.exp(min(loss, 700.0))}.get(metric_id)


def original_loss(baseline: Measured | None) -> float | None:
    """The loss a token of the original, from its perplexity where only that was recorded; None without either."""
    dense, perplexity = (find(baseline, m) for m in ("loss", "perplexity")) if baseline is not None else (None, None)
    if dense is not None:
        return dense.value
    return math.log(perplexity.value) if perplexity is not None and perplexity.value > 0.0 else None


def _next(further: Sequence[Offer], best: Offer | None, only_costs: bool) -> Offer | None:
    if only_costs:
        return min(further, key=lambda o: o.cost, default=None) if best is None else None
    return min((o for o in further if best is None or not o.keeps), key=_quality, default=None)


def _offer(
    c: Candidate, baseline: Candidate, measure: str, cost: str, bounds: Mapping[str, float], most: float | None
) -> Offer | None:
    lost, paid = given_up(c, baseline, measure), _cost(c, baseline, cost)
    if lost is None or paid is None:
        return None
    share, smaller = paid
    keeps = lost.value <= most if most is not None else all(_keeps(c, m, bound) for m, bound in bounds.items())
    return Offer(c, lost, share, smaller, keeps)


def _cost(c: Candidate, baseline: Candidate, cost: str) -> tuple[float, bool] | None:
    """A cost as a share of the original's, and whether it is lower beyond the error; None where they cannot be told."""
    mine, dense = find(c, cost), find(baseline, cost)
    against = None if mine is None or dense is None or stray(mine) else beside(mine, dense)
    if mine is None or against is None or not against.value > 0.0:
        return None
    share = share_of(mine, against).value
    return share, share < 1.0 and not same(mine, against)


def _keeps(c: Candidate, metric_id: str, limit: float) -> bool:
    found = find(c, metric_id)
    if found is None or stray(found) or math.isnan(value := deciding(found)):
        return False
    return value <= limit if metric(metric_id).better == "lower" else value >= limit


def _least(offers: Sequence[Offer], cost: str) -> Offer | None:
    """The lowest cost; of those the error does not tell apart from it, the best quality."""
    if not offers:
        return None
    least = min(offers, key=lambda o: (o.cost, o.given_up.value))
    return min((o for o in offers if o is least or _tied(o, least, cost)), key=_quality)


def _best_quality(offers: Sequence[Offer], cost: str) -> Offer | None:
    """The best quality; of those whose interval reaches as far, the lowest cost."""
    if not offers:
        return None
    best = min(offers, key=_quality)
    end = best.given_up.value if best.given_up.high is None else best.given_up.high
    return _least([o for o in offers if (o.given_up.value if o.given_up.low is None else o.given_up.low) <= end], cost)


def _tied(a: Offer, b: Offer, cost: str) -> bool:
    """Whether two costs are equal, or of two times each lies inside the other's interval."""
    if a.cost == b.cost:
        return True
    mine, other = find(a.candidate, cost), find(b.candidate, cost)
    return mine is not None and other is not None and mine.low is not None and within(mine, other)


def _quality(offer: Offer) -> tuple[float, float]:
    return offer.given_up.value, offer.cost


def _sparsity(offer: Offer) -> float:
    found = sparsity_of(offer.candidate)
    return 0.0 if found is None else found.value
