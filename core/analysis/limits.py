"""What keeps a reader's limits, and which of it is best. Light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.analysis.pareto import best_feasible, feasible, tied_with
from core.metrics import Measurement, metric, show


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
class Outcome:
    """Keys of the models within the limits; of the best of them by quality and those its error does not tell apart."""

    feasible: tuple[str, ...]
    best: tuple[str, ...]
    sentence: str


def within_limits(points: Sequence[Placed], x_limit: float | None, y_limit: float | None) -> Outcome:
    """The models whose cost (x) and quality (y) are no worse than the limits, in the metrics' own units.

    The best is the one of best quality; ties are those the error does not tell apart from it, compared in pairs where
    both were measured on the same windows or items.
    """
    if not points:
        return Outcome((), (), "")
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    limits = {
        name: (None, limit) if better == "lower" else (limit, None)
        for name, limit, better in (("x", x_limit, x.better), ("y", y_limit, y.better))
        if limit is not None
    }
    mask = feasible({"x": [p.x.value for p in points], "y": [p.y.value for p in points]}, limits)
    inside = [p for p, keeps in zip(points, mask, strict=True) if keeps]
    at = best_feasible([p.y.value for p in points], y.better, mask)
    if at is None:
        return Outcome((), (), f"No model is within these limits. {_nearest(points, x_limit, y_limit)}")
    best = points[at]
    ties = [points[i] for i in tied_with([p.y for p in points], at, mask)]
    said = f"{len(inside)} of {len(points)} models are within the limits. Best by {y.label.lower()}: {best.label} "
    said += f"({show(y.id, best.y.value)} at {show(x.id, best.x.value)})"
    if ties:
        said += f", which the error does not tell apart from {', '.join(p.label for p in ties[:3])}"
        said += f" and {len(ties) - 3} more" if len(ties) > 3 else ""
    return Outcome(tuple(p.key for p in inside), (best.key, *(p.key for p in ties)), f"{said}.")


def _nearest(points: Sequence[Placed], x_limit: float | None, y_limit: float | None) -> str:
    """The model that misses the limits by least, as a share of each limit."""

    def missed(p: Placed) -> list[tuple[float, str]]:
        found = []
        for m, limit in ((p.x, x_limit), (p.y, y_limit)):
            if limit is None:
                continue
            over = m.value - limit if metric(m.metric).better == "lower" else limit - m.value
            if over > 0:
                shown = show(m.metric, over)
                found.append((over / abs(limit) if limit else over, f"{metric(m.metric).label.lower()} by {shown}"))
        return found

    closest = min(points, key=lambda p: max((share for share, _ in missed(p)), default=0.0))
    return f"The closest is {closest.label}, which misses {' and '.join(text for _, text in missed(closest))}."
