"""What a training gave back of the quality a student had lost against its teacher, and whether more would help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.statistics import Interval, ratio_interval
from core.recipe.results import Result
from core.registry.measurement import FEWEST_WINDOWS, Measurement, few_windows, find_metric
from core.store.rows import SeriesPoint

JUDGED = ("loss", "accuracy")
"""By what a student is judged: the first of these that it has."""
_SAME = ("corpus", "split", "window", "windows", "tokens", "place", "kind", "begins", "data", "items", "task", "shots")
_BEYOND = "More than all: on this text the student now does better than its teacher."
_FEW = 4  # checks below which nothing is said of the next ones
LATE = 0.05
"""Share of the whole gain that the last quarter of the checks has to give for more training to be worth it."""


@dataclass(frozen=True)
class Regained:
    """Before, after and teacher by one metric, in its unit.

    Attributes:
        share: of what was lost, how much came back (1: all), with its 95 % interval where there is one (else NaN).
        why: why there is no share or no interval, or what a share above 1 means; '' where nothing has to be said.
    """

    metric: str
    before: Measurement | None
    after: Measurement
    teacher: Measurement | None
    share: Interval | None = None
    why: str = ""

    @property
    def gain(self) -> float | None:
        """How much better the student became, in the metric's unit; None where that cannot be told."""
        if self.before is None:
            return None
        return (self.before.value - self.after.value) * (1.0 if self.metric == "loss" else -1.0)


def regained(after: Result, before: Result | None, teacher: Result | None) -> Regained | None:
    """What the training gave back; None where the student was judged by neither loss nor accuracy.

    A figure that was not taken on the same windows or items as the student's is left out.
    """
    metric = next((m for m in JUDGED if find_metric(after.measurements, m) is not None), None)
    if metric is None:
        return None
    now = find_metric(after.measurements, metric)
    assert now is not None
    was, best = (_beside(now, r) for r in (before, teacher))
    missing = [n for n, m in (("undistilled student", was), ("teacher", best)) if m is None]
    if was is None or best is None:
        why = f"The {' and the '.join(missing)} were not measured on the same text, so the share cannot be told."
        return Regained(metric, was, now, best, None, why if len(missing) > 1 else why.replace("were", "was", 1))
    share, why = _share(was, now, best)
    return Regained(metric, was, now, best, share, why)


def _beside(now: Measurement, other: Result | None) -> Measurement | None:
    found = find_metric(other.measurements, now.metric) if other is not None else None
    if found is None or any(found.settings.get(k) != now.settings.get(k) for k in _SAME):
        return None
    return found


def _share(before: Measurement, after: Measurement, teacher: Measurement) -> tuple[Interval | None, str]:
    """(before - after) / (before - teacher) with Fieller's interval over the windows."""
    lost = before.value - teacher.value
    if (lost if before.metric == "loss" else -lost) <= 0:
        return None, "The student was no worse than its teacher before, so there was nothing to give back."
    value = (before.value - after.value) / lost
    samples = [m.samples for m in (before, after, teacher)]
    if any(not s or len(s) != len(samples[0] or ()) for s in samples):
        return Interval(value, math.nan, math.nan), "No figures of single windows were kept, so it has no interval."
    was, now, best = np.asarray(samples, dtype=np.float64)  # (windows,) each
    if len(was) < FEWEST_WINDOWS:
        return Interval(value, math.nan, math.nan), f"The share has {few_windows(len(was))}."
    found = ratio_interval(was - now, was - best)
    if not found.known:
        return Interval(value, math.nan, math.nan), "What was lost is within its own error, so it has no interval."
    return Interval(value, found.low, found.high), _BEYOND if found.low > 1 else ""


def more_would_help(checks: Sequence[SeriesPoint]) -> tuple[bool | None, str]:
    """Whether more training would still help, and why, by a plain rule on the held-out losses in the order of steps.

    Yes where the last quarter of the checks gave at least `LATE` of the whole gain. None where that cannot be told.
    """
    values = [c.value for c in checks]
    if len(values) < _FEW:
        return None, f"Not known: it takes {_FEW} checks on held-out text to tell, and there were {len(values)}."
    best = min(values)
    whole = values[0] - best
    if not whole > 0:
        return False, "No: the loss on held-out text never fell below where it began. Try a smaller learning rate."
    late = max(1, len(values) // 4)
    share = max(0.0, min(values[:-late]) - best) / whole
    gave = f"the last quarter of the checks gave {100 * share:.0f} % of the whole gain on held-out text"
    if share >= LATE:
        return True, f"Probably: {gave}."
    at = checks[values.index(best)].step
    return False, f"Hardly: {gave}; the best was at step {at:,} of {checks[-1].step:,}."
