"""Axes of a chart of measurements: title with unit and direction, a range with room, sensible ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.analysis.paired_times import relative_to
from core.registry.formatting import significant
from core.registry.measurement import Measurement
from core.registry.metrics import metric

_LEAST_SPAN = 0.1  # of the largest value: a linear axis is never so narrow that noise fills the chart
_ROOM = 0.08  # of the range, at each end


def axis(values: Sequence[Measurement], logarithmic: bool, floor: float | None = None) -> dict[str, object]:
    """Plotly's layout of the axis that shows `values`, all of one metric; linear where one is not positive.

    `floor` (of `floor_of`): what is not above it is drawn there, on a logarithmic axis all the same.
    """
    described = metric(values[0].metric)
    below = f'<br><span style="font-size:12px">{told}</span>' if (told := relative_to(values)) else ""
    title = words(described.id, "" if described.unit == "B" else described.unit or values[0].unit)
    layout: dict[str, object] = {"title": {"text": f"{title}{below}"}, "showspikes": False}
    if described.unit == "B":
        layout |= {"tickformat": "~s", "ticksuffix": "B"}
    elif described.id in ("parameters", "nonzero_parameters"):
        layout |= {"exponentformat": "B"}  # 1.2B as everywhere, not 1.2G
    log = logarithmic and (floor is not None or all(m.value > 0 for m in values))
    span = _span(values, log, floor)
    if span is not None:
        layout["range"] = span
    layout["type"] = "log" if log else "linear"
    if log and span is not None:
        layout |= {"tickmode": "array", "tickvals": _log_ticks(span)}
        layout.setdefault("tickformat", ",~r")
    if log and span is not None and floor is not None:
        ticks = [t for t in _log_ticks(span) if t > 1.5 * floor]
        layout |= {"tickvals": [floor, *ticks], "ticktext": [ZERO, *(significant(t, 2) for t in ticks)]}
    return layout


ZERO = "0"
"""What the lowest place of a logarithmic axis of changes is called."""


def floor_of(values: Sequence[Measurement]) -> float | None:
    """Where a logarithmic axis of changes ends below, so that no change has a place on it; None where it needs none.

    Half of the smallest change, and not below half of the smallest error: noise shall not stretch the axis.
    """
    changes = [m.value for m in values if math.isfinite(m.value)]
    above = [v for v in changes if v > 0]
    if not above or len(above) == len(changes):
        return None
    errors = [(m.high - m.low) / 2 for m in values if m.low is not None and m.high is not None and m.high > m.low]
    return max(min(above), min(errors, default=0.0)) / 2


def words(metric_id: str, unit: str) -> str:
    """'Latency per token, ms (lower is better)': what an axis is called."""
    described = metric(metric_id)
    direction = "" if described.role == "detail" else f" ({described.better} is better)"
    return f"{described.label}{f', {unit}' if unit else ''}{direction}"


def _log_ticks(span: list[float]) -> list[float]:
    """1, 2 and 5 of each decade in the range (1 where it is long); evenly spaced values where that leaves too few."""
    decades = range(math.floor(span[0]), math.ceil(span[1]) + 1)
    digits = (1, 2, 5) if span[1] - span[0] < 3.5 else (1,)
    ticks = [d * 10.0**e for e in decades for d in digits if span[0] <= math.log10(d * 10.0**e) <= span[1]]
    if len(ticks) >= 3:
        return ticks
    low, high = 10.0 ** span[0], 10.0 ** span[1]
    step = _nice((high - low) / 6)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * d for d in (1, 2, 5, 10) if power * d >= step * (1 - 1e-9))


def _span(values: Sequence[Measurement], log: bool, floor: float | None = None) -> list[float] | None:
    """The range plotly is given, with the errors inside; None where there is a single value of 0."""
    ends = [e for m in values for e in (m.value, m.low, m.high) if e is not None and math.isfinite(e)]
    if log:
        ends = [math.log10(e if floor is None else max(e, floor)) for e in ends if e > 0 or floor is not None]
        low, high = min(ends), max(ends)
        room = max(_ROOM * (high - low), 0.02)
        return [low - room, high + room]
    low, high = min(ends), max(ends)
    least = _LEAST_SPAN * max(abs(low), abs(high))
    if high - low < least:
        middle = (high + low) / 2
        low, high = middle - least / 2, middle + least / 2
    room = _ROOM * (high - low)
    return [low - room, high + room] if room else None
