"""What pruning promised beside what was measured: every cost as a share of the dense baseline's.

Half of the weights at zero sounds like half of the model; on ordinary kernels and in ordinary files it
is all of it. These functions put the two side by side, in numbers and in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from core.analysis.paired_times import FROM_TIMES, TIMES, Ratio, ratio_of, timed
from core.registry.formatting import DASH, show
from core.registry.measurement import Measurement, Obtained, find_metric
from core.registry.methods import method
from core.registry.metrics import metric

COSTS = ("parameters", "disk_bytes", "memory_bytes", "peak_memory_bytes", "prefill_ms", "decode_ms")
"""The costs compared, in the order shown; those a candidate lacks are left out."""

NOMINAL = "nominal"
_HAPPENS = 0.5
"""Percent of zeros up to which nobody pruned."""


class Measured(Protocol):
    """Anything with a label, a method and measurements: a `Result` or a row of the store."""

    @property
    def label(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def measurements(self) -> Iterable[Measurement]: ...


@dataclass(frozen=True)
class Share:
    """One cost of a candidate as a share of the baseline's (1.0: no change)."""

    metric: str
    label: str
    value: float
    low: float | None
    """Bounds of the share where the measurement has an error: of a time, the 95 % interval of the ratio."""
    high: float | None
    shown: str
    """The candidate's value in its own unit."""
    baseline_shown: str
    obtained: Obtained
    same: bool
    """True where the error covers the difference, so that none can be claimed."""

    @property
    def decimals(self) -> int:
        """Digits behind the point, in words and beside bars that can be edited."""
        timed = self.metric in TIMES and self.low is not None  # as its ratio is written elsewhere
        return 1 if timed else _decimals(self.value, exact=self.metric == NOMINAL)

    @property
    def percent(self) -> str:
        """'89 %': the share as every surface writes it."""
        return _percent(self.value, self.decimals)

    @property
    def interval(self) -> str:
        """'87.6 to 89.3 %': of a time, whose ratio has an error; '' for what is known exactly."""
        if self.metric not in TIMES or self.low is None or self.high is None:
            return ""
        return f"{_percent(self.low, self.decimals).removesuffix(' %')} to {_percent(self.high, self.decimals)}"

    @property
    def said(self) -> str:
        """'88.5 % (87.6 to 89.3 %)': with what is known of its error, and a word where it is estimated."""
        known = f" ({self.interval})" if self.interval else ""
        return f"{self.percent}{known}" + (", estimated" if self.obtained == "estimated" else "")


def find(candidate: Measured, metric_id: str) -> Measurement | None:
    """The first measurement of a metric."""
    return find_metric(candidate.measurements, metric_id)


def shares(candidate: Measured, baseline: Measured) -> list[Share]:
    """What was promised (weights left, for methods that zero), then every cost both of them have."""
    found = [_nominal(candidate)]
    found += [_share(find(candidate, m), find(baseline, m)) for m in COSTS]
    return [s for s in found if s is not None]


def verdict(candidate: Measured, baseline: Measured) -> str:
    """One plain sentence: what was asked for, and what became of file and latency.

    '50 % sparse, yet the file is 100 % of the dense size and a token takes 99 % of the dense time (no difference
    beyond the error).' A time that was not taken in turns with the dense model's is not compared.
    """
    by_metric = {s.metric: s for s in shares(candidate, baseline)}
    parts = [
        f"{name} {share_words(by_metric[m].value)} of the dense {what}{_doubt(by_metric[m])}"
        for m, name, what in (("disk_bytes", "the file is", "size"), ("decode_ms", "a token takes", "time"))
        if m in by_metric
    ]
    alone = find(candidate, "decode_ms") is not None and "decode_ms" not in by_metric
    apart = " Its time cannot be compared: it was not taken in turns with the dense model's." if alone else ""
    if not parts:
        return apart.strip() or "Neither size nor latency was measured for this candidate."
    outcome = " and ".join(parts)
    nominal = by_metric.get(NOMINAL)
    if candidate.method == "quantise":
        outcome = f"with int8 weights {outcome}"
    if nominal is None:
        return f"{outcome[0].upper()}{outcome[1:]}.{apart}"
    kept = by_metric.get("disk_bytes") or by_metric.get("decode_ms")
    link = ", yet " if kept is not None and kept.value > nominal.value + 0.05 else ": "
    return f"{_percent(1 - nominal.value, nominal.decimals)} sparse{link}{outcome}.{apart}"


def _nominal(candidate: Measured) -> Share | None:
    known = method(candidate.method)
    sparsity = sparsity_of(candidate)
    if sparsity is None or (known is not None and known.structured) or candidate.method == "dense":
        return None
    left = 1.0 - sparsity.value / 100.0
    return Share(
        NOMINAL,
        "Weights left where pruned",
        left,
        None,
        None,
        share_words(left),
        share_words(1.0),
        sparsity.obtained,
        same=False,
    )


def sparsity_of(candidate: Measured) -> Measurement | None:
    """The sparsity that was asked for; None for a model nothing pruned.

    A few weights of any model happen to be zero, and rounding to int8 makes more: neither is sparsity.
    """
    found = find(candidate, "sparsity_pruned")
    if found is None or found.value < _HAPPENS:
        return None
    counted_all = candidate.method == "quantise" and "zeros_of_rounding_left_out" not in found.settings
    return None if counted_all else found


def beside(mine: Measurement, dense: Measurement) -> Measurement | None:
    """The baseline's figure that a candidate's is to be compared with; None where there is none.

    A time is compared with what the baseline took in turns with it, which stands in the candidate's settings: what the
    baseline took alone, perhaps on a busier machine, says nothing about the two.
    """
    if mixed(mine, dense):
        return None
    if timed(mine):
        ratio = ratio_of(mine)
        if ratio is None:
            return None
        told = mine.settings.get("reference_ms", mine.settings.get("baseline_value"))
        value = mine.value / ratio.value if told is None or mine.metric not in TIMES else told
        return dense.model_copy(update={"value": value, "low": None, "high": None, "samples": None})
    if "baseline_value" not in mine.settings:
        return dense
    found = {k: mine.settings.get(f"baseline_{k}") for k in ("value", "low", "high")}
    return dense.model_copy(update={**found, "samples": None})


def mixed(mine: Measurement, dense: Measurement) -> bool:
    """Whether one energy was counted and the other estimated: the two say nothing about each other."""
    return mine.metric in FROM_TIMES and mine.obtained != dense.obtained


def share_of(mine: Measurement, dense: Measurement) -> Ratio:
    """A figure over the baseline's (which `beside` gave), with bounds where its error is known."""
    if (ratio := ratio_of(mine)) is not None:
        return ratio
    low, high = (None if b is None else b / dense.value for b in (mine.low, mine.high))
    return Ratio(mine.value / dense.value, -math.inf if low is None else low, math.inf if high is None else high)


def same(mine: Measurement, dense: Measurement) -> bool:
    """Whether the error covers the difference: of times by their ratio, else where one value lies inside the other's
    spread."""
    ratio = ratio_of(mine)
    return within(mine, dense) if ratio is None else ratio.same


def _share(mine: Measurement | None, dense: Measurement | None) -> Share | None:
    if mine is None or dense is None:
        return None
    dense = beside(mine, dense)
    if dense is None or not dense.value > 0:
        return None
    share = share_of(mine, dense)
    return Share(
        metric=mine.metric,
        label=metric(mine.metric).label,
        value=share.value,
        low=share.low if math.isfinite(share.low) else None,
        high=share.high if math.isfinite(share.high) else None,
        shown=show(mine.metric, mine.value),
        baseline_shown=show(mine.metric, dense.value),
        obtained="estimated" if "estimated" in (mine.obtained, dense.obtained) else "measured",
        same=same(mine, dense),
    )


def within(a: Measurement, b: Measurement) -> bool:
    """Whether one value lies inside the spread of the other: then no difference can be claimed."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return a.value == b.value
    return a.low <= b.value <= a.high or b.low <= a.value <= b.high


def share_words(share: float) -> str:
    """A share without false digits: '50 %', '99.6 %' only where rounding would hide that it is not all."""
    return _percent(share, _decimals(share))


def _percent(share: float, decimals: int) -> str:
    # Halves go up, as in the programs that open a report's slides and tables: round() goes to the even neighbour.
    if not math.isfinite(share):
        return DASH if math.isnan(share) else "infinite"
    scale = 10.0**decimals
    return f"{math.floor(100.0 * share * scale + 0.5) / scale:.{decimals}f} %"


def _decimals(share: float, *, exact: bool = False) -> int:
    """None where whole percents tell the share from all and from nothing; `exact`: one where it is not whole."""
    percent = 100.0 * share
    if not math.isfinite(percent) or percent == 0:
        return 0
    if abs(percent) < 0.95:
        return max(1, min(4, -math.floor(math.log10(abs(percent)))))
    hidden = math.floor(percent + 0.5) == 100 and abs(percent - 100) >= 0.05
    return 1 if hidden or (exact and abs(percent - round(percent)) >= 0.05) else 0


def _doubt(share: Share) -> str:
    known = share.metric in TIMES or share.low is not None
    return " (no difference beyond the error)" if share.same and known else ""
