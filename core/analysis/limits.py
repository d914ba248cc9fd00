"""What keeps a reader's limits, and which of it is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.analysis.one_kind import one_kind
from core.analysis.paired_times import deciding, stray
from core.analysis.pareto import Mask, best_feasible, feasible, tied_with
from core.registry.formatting import COUNTS, show
from core.registry.measurement import Measurement
from core.registry.metrics import metric


class Placed(Protocol):
    """A model with its two figures on a chart."""

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def x(self) -> Measurement: ...

    @property
    def y(self) -> Measurement: ...


@dataclass(frozen=True)
class Aside:
    """A limit on a figure that is no axis of the chart, and that figure of every model that has it, by key.

    Of times: as `core.analysis.paired_times.deciding` gives them.
    """

    metric: str
    limit: float
    values: Mapping[str, float]
    apart: frozenset[str] = frozenset()
    """Keys of the models whose figure was obtained in another way than these (core/analysis/one_kind.py)."""


@dataclass(frozen=True)
class WithinLimits:
    """Keys of the models within the limits; of the best of them by quality and those its error does not tell apart."""

    feasible: tuple[str, ...]
    best: tuple[str, ...]
    sentence: str
    aside: tuple[str, ...] = ()
    """Keys of the models that keep the limits on the axes and break one that is not drawn, or keep one on the axes
    only by less than the error of their time."""


def within_limits(
    points: Sequence[Placed], x_limit: float | None, y_limit: float | None, asides: Sequence[Aside] = ()
) -> WithinLimits:
    """The models whose figures are no worse than the limits, in the metrics' own units.

    The best is the one of best quality (y); ties are those the error does not tell apart from it, compared in pairs
    where both were measured on the same windows or items. A model that lacks a limited figure cannot be shown to keep
    the limit, and is ruled out. A time that is no different from the dense model's beyond the error counts as equal to
    it: such a model keeps a limit where the dense one does.
    """
    if not points:
        return WithinLimits((), (), "")
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    drawn: dict[str, Limited] = {
        "x": (x.id, x_limit, [deciding(p.x) for p in points]),
        "y": (y.id, y_limit, [p.y.value for p in points]),
    }
    others: dict[str, Limited] = {
        f"aside {i}": (a.metric, a.limit, [a.values.get(p.key) for p in points]) for i, a in enumerate(asides)
    }
    on_axes = _keep(drawn)
    mask = on_axes & _keep(others) if others else on_axes
    seems = _keep({**drawn, "x": (x.id, x_limit, [p.x.value for p in points])})
    told = [_by_error(seems, on_axes), *(_ruled_out(points, a) for a in asides)]
    apart = " ".join(t for t in told if t)
    ruled_out = tuple(p.key for p, seen, keeps in zip(points, seems, mask, strict=True) if seen and not keeps)
    inside = [p for p, keeps in zip(points, mask, strict=True) if keeps]
    at = best_feasible([p.y.value for p in points], y.better, mask)
    if at is None:
        said = f"No model is within these limits. {_nearest(points, {**drawn, **others}.values())}"
        return WithinLimits((), (), f"{said} {apart}".strip(), ruled_out)
    best = points[at]
    ties = [points[i] for i in tied_with([p.y for p in points], at, mask)]
    said = f"{len(inside)} of {len(points)} models are within the limits. Best by {y.label.lower()}: {best.label} "
    said += f"({show(y.id, best.y.value)} at {show(x.id, best.x.value)})"
    if ties:
        said += f", which the error does not tell apart from {', '.join(p.label for p in ties[:3])}"
        said += f" and {len(ties) - 3} more" if len(ties) > 3 else ""
    keys = tuple(p.key for p in inside)
    return WithinLimits(keys, (best.key, *(p.key for p in ties)), f"{said}. {apart}".strip(), ruled_out)


def judged(
    points: Sequence[Placed], limits: Mapping[str, float], figures: Callable[[str], Mapping[str, Measurement]]
) -> WithinLimits:
    """`within_limits` for limits by metric, whichever of them are axes of these points; empty where there are none.

    `figures` gives a metric of every model that has it, by key.
    """
    if not points or not limits:
        return WithinLimits((), (), "")
    axes = points[0].x.metric, points[0].y.metric
    asides = [_aside(m, limit, figures(m)) for m, limit in limits.items() if m not in axes]
    return within_limits(points, limits.get(axes[0]), limits.get(axes[1]), asides)


def _aside(metric_id: str, limit: float, figures: Mapping[str, Measurement]) -> Aside:
    kept = one_kind({k: m for k, m in figures.items() if not stray(m)})
    return Aside(metric_id, limit, {k: deciding(m) for k, m in kept.figures.items()}, frozenset(kept.left_out))


Limited = tuple[str, float | None, Sequence[float | None]]
"""Metric, limit (None: no limit), and the value of each model."""


def _keep(limited: Mapping[str, Limited]) -> Mask:
    """Which models keep every limit."""
    bounds = {
        name: (None, limit) if metric(metric_id).better == "lower" else (limit, None)
        for name, (metric_id, limit, _) in limited.items()
        if limit is not None
    }
    return feasible({name: values for name, (_, _, values) in limited.items()}, bounds)


def bound_words(metric_id: str, limit: float) -> str:
    """'Latency per token at most 30 ms'."""
    described = metric(metric_id)
    return f"{described.label} {'at most' if described.better == 'lower' else 'at least'} {show(metric_id, limit)}"


def _by_error(seems: Mask, keeps: Mask) -> str:
    """What is said of points that lie on the other side of a limit of time than their model counts."""
    found = [(int((seems & ~keeps).sum()), "within"), (int((keeps & ~seems).sum()), "beyond")]
    said = [
        f"{n} {'model lies' if n == 1 else 'models lie'} {side} it by less than the error" for n, side in found if n
    ]
    return f"Of the limit of time: {' and '.join(said)}, so the dense model's time decides." if said else ""


def _ruled_out(points: Sequence[Placed], aside: Aside) -> str:
    """How many models a limit that is not drawn rules out, and for how many of them that is for want of a figure."""
    values = [aside.values.get(p.key) for p in points]
    out = len(points) - int(_keep({"": (aside.metric, aside.limit, values)}).sum())
    other = sum(p.key in aside.apart for p in points)
    missing = sum(v is None or math.isnan(v) for v in values) - other
    said = f"{bound_words(aside.metric, aside.limit)}, which is not drawn, rules out {out} of {len(points)}"
    if missing:
        said += f", {missing} of them because it was not measured"
    if other:
        said += f", {other} of them because it was not obtained as for the others (one measured, one estimated)"
    return f"{said}."


def _nearest(points: Sequence[Placed], limited: Iterable[Limited]) -> str:
    """The model that misses the limits by least, as a share of each limit."""
    wanted = [(metric_id, limit, values) for metric_id, limit, values in limited if limit is not None]

    def missed(i: int) -> list[tuple[float, str]]:
        found = []
        for metric_id, limit, values in wanted:
            value, described = values[i], metric(metric_id)
            if value is None or math.isnan(value):
                found.append((math.inf, f"{described.label.lower()}, which was not measured"))
                continue
            over = value - limit if described.better == "lower" else limit - value
            if over > 0:
                share = over / abs(limit) if limit else over
                found.append((share, f"{described.label.lower()} by {show(metric_id, over)}"))
        return found

    closest = min(range(len(points)), key=lambda i: max((share for share, _ in missed(i)), default=0.0))
    how = " and ".join(text for _, text in missed(closest))
    return f"The closest is {points[closest].label}, which misses {how}."


def limit_unit(metric_id: str) -> tuple[str, float]:
    """The unit a limit is asked for in, and what a number in it is multiplied by."""
    if metric_id in COUNTS:
        return "millions", 1e6
    described = metric(metric_id)
    return ("MB", 1e6) if described.unit == "B" else (described.unit, 1.0)
