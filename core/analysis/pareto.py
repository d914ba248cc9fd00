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

from core.analysis.statistics import expanded_tail, resampled_means
from core.metrics import Better, Measurement, metric

Status = Literal["front", "tie", "dominated", "unknown"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PAIRED_BY = ("corpus", "split", "window", "kind", "task", "items")


def front(values: ArrayLike, better: Sequence[Better]) -> Mask:
    """Which rows of `values` (n, axes) no other row beats: none is at least as good everywhere and better somewhere.

    Equal rows stand together. A row with a value that is not a number is never on the front; infinite
    ones compare as usual.
    """
    points = oriented(values, better)
    mask = np.zeros(len(points), dtype=bool)
    usable = np.flatnonzero(~np.isnan(points).any(axis=1))
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

    Qualities measured on the same windows or items are compared in pairs (95 % bootstrap interval of
    the difference); others by their own intervals; without any, by their values. Costs are inside the
    error where their intervals overlap, and exact where they have none.
    """
    n = len(quality)
    if n == 0:
        return []
    axes = [quality, *costs]
    better = [metric(a[0].metric).better for a in axes]
    points = oriented(np.array([[m.value for m in axis] for axis in axes]).T, better)
    nominal = front(points, ["lower"] * len(axes))
    members: list[int] = np.flatnonzero(nominal).tolist()
    compare = _Comparison(quality, better[0])
    cost_bounds = [_bounds(axis, direction) for axis, direction in zip(costs, better[1:], strict=True)]
    found: list[Status] = []
    for i in range(n):
        if np.isnan(points[i]).any():
            found.append("unknown")
        elif nominal[i]:
            rivals = [g for g in members if points[g, 0] < points[i, 0] and _not_surely_dearer(g, i, cost_bounds)]
            found.append("tie" if compare.beaten(i, rivals) else "front")
        else:
            rivals = [g for g in members if (points[g] <= points[i]).all()]
            same_but_cheaper = any(
                compare.identical(i, g) and any(high[g] < low[i] for low, high in cost_bounds) for g in rivals
            )
            found.append("dominated" if same_but_cheaper or compare.beaten(i, rivals) else "tie")
    return found


class _Comparison:
    """Qualities of all candidates, comparable two by two; bootstrap draws are made once a group and shared."""

    def __init__(self, quality: Sequence[Measurement], better: Better) -> None:
        self._sign = 1.0 if better == "lower" else -1.0
        self._value = self._sign * np.array([m.value for m in quality])
        self._low, self._high = _bounds(quality, better)
        self._samples = [m.samples for m in quality]
        self._group = [_group(m) for m in quality]
        self._column: dict[int, int] = {}
        self._means: dict[tuple[object, ...], Floats] = {}
        for group in dict.fromkeys(g for g in self._group if g is not None):
            rows = [i for i, g in enumerate(self._group) if g == group]
            self._column |= {i: column for column, i in enumerate(rows)}
            samples = np.array([self._samples[i] for i in rows], dtype=np.float64).T  # (samples, candidates)
            self._means[group] = self._sign * resampled_means(samples)  # (resamples, candidates)

    def beaten(self, candidate: int, rivals: Sequence[int]) -> bool:
        """Whether some rival's quality is distinguishably better; the most promising rival is tried first."""
        return any(self._surely_worse(candidate, g) for g in sorted(rivals, key=lambda g: self._value[g]))

    def identical(self, a: int, b: int) -> bool:
        """The same answers throughout, or the same value with no error known: not a small difference, but none."""
        if self._group[a] != self._group[b] or self._value[a] != self._value[b]:
            return False
        return self._samples[a] == self._samples[b] and bool(self._low[a] == self._low[b])

    def _surely_worse(self, candidate: int, rival: int) -> bool:
        group = self._group[candidate]
        if group is not None and group == self._group[rival]:
            means = self._means[group]
            gap = means[:, self._column[candidate]] - means[:, self._column[rival]]  # (resamples,)
            n = len(self._samples[candidate] or ())
            return bool(np.quantile(gap, expanded_tail(n)) > 0.0)
        gap = self._value[candidate] - self._value[rival]
        if not math.isfinite(gap):
            return bool(gap > 0.0)
        half = math.hypot(self._value[candidate] - self._low[candidate], self._high[rival] - self._value[rival])
        return bool(gap > half)


def _group(m: Measurement) -> tuple[object, ...] | None:
    """What two measurements must share to be compared in pairs; None where there is nothing to pair."""
    if m.samples is None or len(m.samples) < 2 or not np.isfinite(m.samples).all():
        return None
    return (len(m.samples), *(str(m.settings.get(k)) for k in _PAIRED_BY))


def _bounds(axis: Sequence[Measurement], better: Better) -> tuple[Floats, Floats]:
    """Lower and upper bounds, oriented so that lower is better; the value itself where there is no interval."""
    low = np.array([m.value if m.low is None else m.low for m in axis], dtype=np.float64)
    high = np.array([m.value if m.high is None else m.high for m in axis], dtype=np.float64)
    return (low, high) if better == "lower" else (-high, -low)


def _not_surely_dearer(rival: int, candidate: int, cost_bounds: Sequence[tuple[Floats, Floats]]) -> bool:
    return all(low[rival] <= high[candidate] for low, high in cost_bounds)


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
    return [int(i) for i in np.flatnonzero(np.asarray(mask)) if i != best and not compare.beaten(int(i), [best])]
