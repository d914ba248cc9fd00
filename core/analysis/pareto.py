"""Which candidates are worth choosing: the Pareto front, the ties with it, and the best within limits.

A difference inside the error is not a difference. So beside the front of the plain values there are
*ties*: candidates nobody can call worse (or better) with these measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.analysis.paired_times import bounds
from core.analysis.statistics import SIGNIFICANT, mcnemar_exact, student
from core.registry.measurement import FEWEST_WINDOWS, Measurement
from core.registry.metrics import Better, metric

Status = Literal["front", "tie", "dominated", "unknown"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

_AT_ONCE = 1_000_000
"""Samples of candidates that are compared at once: 8 MB."""
_ROUNDING = 1e-13

_PAIRED_BY = ("corpus", "split", "window", "place", "content", "begins", "kind", "task", "items")


def front(values: ArrayLike, better: Sequence[Better]) -> Mask:
    """Which rows of `values` (n, axes) no other row beats: none is at least as good everywhere and better somewhere.

    Equal rows stand together. A row with a value that is not a number is never on the front; infinite
    ones compare as usual.
    """
    points = oriented(values, better)
    mask = np.zeros(len(points), dtype=bool)
    usable = np.flatnonzero(~np.isnan(points).any(axis=1))
    if points.shape[1] == 2:
        mask[usable] = _front_of_two(points[usable])
        return mask
    # In this order a row can only be beaten by an earlier one, and by one of the front so far.
    order = usable[np.lexsort(points[usable].T[::-1])]
    kept = np.empty((len(order), points.shape[1]))
    count = 0
    for index in order:
        row = points[index]
        beaten_by = kept[:count][(kept[:count] <= row).all(axis=1)]
        if not (beaten_by < row).any():
            kept[count] = row
            count += 1
            mask[index] = True
    return mask


def _front_of_two(points: Floats) -> Mask:
    """`front` on two axes (n, 2), all lower is better and numbers, in one sweep."""
    mask = np.zeros(len(points), dtype=bool)
    if not len(points):
        return mask
    order = np.lexsort(points.T[::-1])
    first, second = points[order].T
    starts = np.concatenate([[True], first[1:] != first[:-1]])  # of each run of equal first values
    group = np.cumsum(starts) - 1
    least = second[starts]  # of each group, as it is sorted by the second
    before = np.concatenate([[math.inf], np.minimum.accumulate(least)[:-1]])
    # Beaten by a lower second at an equal first, or by one not higher at a lower first.
    beaten = (second > least[group]) | ((group > 0) & (second >= before[group]))
    mask[order] = ~beaten
    return mask


def oriented(values: ArrayLike, better: Sequence[Better]) -> Floats:
    """`values` (n, axes) with the signs changed so that lower is better on every axis."""
    points = np.array(values, dtype=np.float64).reshape(-1, len(better))
    for axis, direction in enumerate(better):
        if direction == "higher":
            points[:, axis] *= -1.0
    return points


def statuses(quality: Sequence[Measurement], costs: Sequence[Sequence[Measurement]]) -> list[Status]:
    """Where each candidate stands, errors considered.

    Args:
        quality: one measurement a candidate, all of one metric.
        costs: for each cost metric, one measurement a candidate.
    Returns:
        front: no other candidate beats it, and none does so within the errors of its costs.
        tie: beaten by the plain values, but by no front member at no higher cost whose quality is
            distinguishably better; or on the front only by a cost inside the error, where another's quality
            is distinguishably better.
        dominated: a front member costs no more and is distinguishably better (or exactly as good, and
            certainly cheaper).
        unknown: a value is not a number.

    Qualities measured on the same windows are compared in pairs (95 % interval of the mean difference), on the
    same items by McNemar's exact test; others by their own intervals; without any, by their values. Of fewer than
    `FEWEST_WINDOWS` windows nothing is claimed. Costs are inside the
    error where their intervals overlap, and exact where they have none. Times must have been made comparable
    (core/analysis/paired_times.py).
    """
    n = len(quality)
    if n == 0:
        return []
    axes = [quality, *costs]
    better = [metric(a[0].metric).better for a in axes]
    points = oriented(np.array([[m.value for m in axis] for axis in axes]).T, better)
    nominal = front(points, ["lower"] * len(axes))
    members = np.flatnonzero(nominal)
    ends = [_bounds(axis, direction) for axis, direction in zip(costs, better[1:], strict=True)]
    # (n, members): who could beat whom. A member on the front only by a cost inside the error has rivals too.
    rivals: Mask = np.asarray((points[members][None] <= points[:, None]).all(axis=2))
    not_dearer = np.ones((len(members), len(members)), dtype=bool)
    for low, high in ends:
        not_dearer &= low[members][None] <= high[members][:, None]
    rivals[members] = (points[members, 0][None] < points[members, 0][:, None]) & not_dearer
    compare = _Comparison(quality, better[0])
    beaten = compare.beaten(np.arange(n), members, rivals)
    for i in np.flatnonzero(~nominal & ~beaten):
        same = [int(g) for g in members[rivals[i]] if any(high[g] < low[i] for low, high in ends)]
        beaten[i] = any(compare.identical(int(i), g) for g in same)
    unknown: Mask = np.asarray(np.isnan(points).any(axis=1))
    return [
        "unknown" if u else "front" if f and not b else "tie" if f or not b else "dominated"
        for u, f, b in zip(unknown, nominal, beaten, strict=True)
    ]


class _Comparison:
    """Qualities of all candidates, comparable two by two."""

    def __init__(self, quality: Sequence[Measurement], better: Better) -> None:
        self._sign = 1.0 if better == "lower" else -1.0
        self._value = self._sign * np.array([m.value for m in quality])
        self._low, self._high = _bounds(quality, better)
        self._samples = [m.samples for m in quality]
        groups = [_group(m) for m in quality]
        numbers = {g: i for i, g in enumerate(dict.fromkeys(g for g in groups if g is not None))}
        self._group = np.array([-1 if g is None else numbers[g] for g in groups], dtype=np.int64)

    def beaten(self, candidates: Ints, members: Ints, rivals: Mask) -> Mask:
        """Which candidates some rival's quality is distinguishably better than.

        `rivals` (candidates, members) says which members are rivals of which candidate.
        """
        found = np.zeros(len(candidates), dtype=bool)
        paired = (self._group[candidates][:, None] == self._group[members][None]) & (
            self._group[candidates][:, None] >= 0
        )
        alone = rivals & ~paired
        for column in np.flatnonzero(alone.any(axis=0)):
            rows = np.flatnonzero(alone[:, column])
            found[rows] |= self._apart(candidates[rows], int(members[column]))
        for group in np.unique(self._group[members][self._group[members] >= 0]):
            columns = np.flatnonzero(self._group[members] == group)
            order = np.argsort(self._value[members[columns]], kind="stable")  # the most promising first
            pending = np.flatnonzero((self._group[candidates] == group) & rivals[:, columns].any(axis=1) & ~found)
            step = max(1, _AT_ONCE // len(self._samples[members[columns[0]]] or (0,)))
            for start in range(0, len(pending), step):
                rows = pending[start : start + step]
                mine = self._oriented(candidates[rows])  # (rows, samples)
                for column in order:
                    at = np.flatnonzero(rivals[rows, columns[column]] & ~found[rows])
                    if len(at):
                        found[rows[at]] = surely_above_zero(mine[at] - self._oriented(members[columns[[column]]]))
        return found

    def identical(self, a: int, b: int) -> bool:
        """The same answers throughout, or the same value with no error known: not a small difference, but none."""
        if self._group[a] != self._group[b] or self._value[a] != self._value[b]:
            return False
        return self._samples[a] == self._samples[b] and bool(self._low[a] == self._low[b])

    def _oriented(self, of: Ints) -> Floats:
        """Samples (of, samples), lower is better; all of one group, so that they can be paired."""
        return self._sign * np.array([self._samples[i] for i in of], dtype=np.float64)

    def _apart(self, candidates: Ints, rival: int) -> Mask:
        """Whether the candidates are worse than a rival by more than both errors, taken as independent."""
        gap = self._value[candidates] - self._value[rival]
        with np.errstate(invalid="ignore"):
            half = np.hypot(self._value[candidates] - self._low[candidates], self._high[rival] - self._value[rival])
            apart: Mask = np.where(np.isfinite(gap), gap > half, gap > 0.0)
            return apart


def surely_above_zero(gaps: Floats) -> Mask:
    """Whether the mean of each row (samples,) of paired differences is told from zero, and above it.

    By Student's t; where all differences are -1, 0 or 1, of items right or wrong, by McNemar's exact test.
    Differences of the size of rounding are none: equal samples may be summed in another order.
    """
    n, means = gaps.shape[1], gaps.mean(axis=1)
    errors = student(n) * gaps.std(axis=1, ddof=1) / math.sqrt(n)
    found: Mask = means - errors > _ROUNDING * (np.abs(gaps).max(axis=1) + 1.0)
    for row in np.flatnonzero(((gaps == 0.0) | (np.abs(gaps) == 1.0)).all(axis=1)):
        above, below = int((gaps[row] > 0.0).sum()), int((gaps[row] < 0.0).sum())
        found[row] = above > below and mcnemar_exact(above, below) < SIGNIFICANT
    return found


def _group(m: Measurement) -> tuple[object, ...] | None:
    """What two measurements must share to be compared in pairs; None where there is nothing to pair."""
    if m.samples is None or len(m.samples) < FEWEST_WINDOWS or not np.isfinite(m.samples).all():
        return None
    return (len(m.samples), *(str(m.settings.get(k)) for k in _PAIRED_BY))


def _bounds(axis: Sequence[Measurement], better: Better) -> tuple[Floats, Floats]:
    """Lower and upper bounds, oriented so that lower is better; the value itself where there is no interval."""
    low, high = np.array([bounds(m) for m in axis], dtype=np.float64).reshape(-1, 2).T
    return (low, high) if better == "lower" else (-high, -low)


def feasible(
    values: Mapping[str, Sequence[float | None]], limits: Mapping[str, tuple[float | None, float | None]]
) -> Mask:
    """Which candidates keep every limit: metric id -> (at least, at most), either may be None.

    `values` maps metric ids to one value a candidate. What was not measured cannot be shown to keep a limit.
    """
    n = len(next(iter(values.values()), ()))
    mask = np.ones(n, dtype=bool)
    for name, (least, most) in limits.items():
        column = np.array([math.nan if v is None else v for v in values.get(name, [None] * n)], dtype=np.float64)
        mask &= ~np.isnan(column)
        if least is not None:
            mask &= column >= least
        if most is not None:
            mask &= column <= most
    return mask


def best_feasible(quality: ArrayLike, better: Better, mask: ArrayLike) -> int | None:
    """Index of the best quality among the feasible candidates (the first of equals); None where there is none."""
    points = oriented(quality, [better])[:, 0]
    points[~np.asarray(mask, dtype=bool) | np.isnan(points)] = math.inf
    if points.size == 0 or math.isinf(points.min()):
        return None
    return int(points.argmin())


def tied_with(quality: Sequence[Measurement], best: int, mask: ArrayLike) -> list[int]:
    """Candidates of `mask`, other than `best`, whose quality is not distinguishably worse (as in `statuses`)."""
    compare = _Comparison(quality, metric(quality[best].metric).better)
    others = np.array([i for i in np.flatnonzero(np.asarray(mask)) if i != best], dtype=np.int64)
    beaten = compare.beaten(others, np.array([best]), np.ones((len(others), 1), dtype=bool))
    return [int(i) for i in others[~beaten]]
