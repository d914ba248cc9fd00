"""A candidate beside its baseline, figure by figure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.analysis.paired_times import ALONE, TIMES, ratio_of, timed, words
from core.analysis.promised_vs_measured import Measured, beside, find, mixed, same, share_of, share_words
from core.analysis.proportions import paired_share
from core.analysis.statistics import SIGNIFICANT, Interval
from core.base.text import one_line
from core.registry.formatting import change, show, shown, significant
from core.registry.measurement import Measurement, too_few
from core.registry.metrics import metric

UNTOLD = "too few windows to tell"
"""What stands in place of a change of which no error is known."""
_MIXED = "One was measured and the other estimated"


@dataclass(frozen=True)
class Difference:
    """One figure of a candidate against the baseline's. `better` is None where nothing can be claimed."""

    metric: str
    label: str
    shown: str
    change: str
    better: bool | None
    evidence: str = ""
    """How it was tested whether there is a difference, where that was done item by item or in turns."""
    original: float | None = None
    """The baseline's figure, that this one was compared with."""


def difference(candidate: Measured, baseline: Measured, metric_id: str) -> Difference | None:
    """The candidate's figure and its change; None where there is nothing to compare it with.

    Where the baseline lacks the metric (an encoder without a head has no accuracy), the candidate of the same run
    that the figure was paired with stands in, and `evidence` names it.
    """
    mine, dense = find(candidate, metric_id), find(baseline, metric_id)
    return None if mine is None else between(candidate, mine, dense)


def between(candidate: Measured, mine: Measurement, dense: Measurement | None) -> Difference | None:
    """The same of a figure that may not stand among the candidate's own, such as what a million tokens cost."""
    described, said = metric(mine.metric), shown(mine)
    if dense is None:
        dense = _stand_in(mine)
    elif (against := beside(mine, dense)) is None:
        why = _MIXED if mixed(mine, dense) else f"It was {ALONE}"
        return Difference(mine.metric, described.label, said, "not comparable", None, why)
    else:
        dense = against
    if dense is None:
        return None
    if too_few(mine):
        return Difference(mine.metric, described.label, said, UNTOLD, None, too_few(mine), dense.value)
    tied = _same(candidate, mine, dense)
    ratio = ratio_of(mine)
    lower = mine.value < dense.value if ratio is None else ratio.value < 1.0
    return Difference(
        metric=mine.metric,
        label=described.label,
        shown=said,
        change=_tie(mine, dense) if tied else _change(mine, dense),
        better=None if tied else lower == (described.better == "lower"),
        evidence=_evidence(mine),
        original=dense.value,
    )


def _stand_in(mine: Measurement) -> Measurement | None:
    value = mine.settings.get("paired", {}).get("against_value")
    return None if value is None else mine.model_copy(update={"value": value, "low": None, "high": None})


def _same(candidate: Measured, mine: Measurement, dense: Measurement) -> bool:
    """Whether the error covers the difference: paired where the windows were compared in pairs."""
    if mine.metric in ("perplexity", "loss"):
        paired = find(candidate, "loss_change")
        if paired is not None and paired.low is not None and paired.high is not None:
            return paired.low <= 0.0 <= paired.high
    test = mine.settings.get("paired")
    if test is not None:
        return bool(test["p"] >= SIGNIFICANT)
    return same(mine, dense)


def _evidence(mine: Measurement) -> str:
    """'McNemar p = 0.021: 14 items lost, 3 won' for items, '88.1 % (87.2 to 89.0 %) of the dense model's' for times."""
    ratio = ratio_of(mine)
    if ratio is not None and mine.metric in TIMES:
        return f"{words(ratio)} of the dense model's, timed in turns"
    test = mine.settings.get("paired")
    if test is None:
        return ""
    against = f" against '{one_line(test['against'], 80)}'" if "against" in test else ""
    lost, won = test["only_baseline_right"], test["only_candidate_right"]
    found = paired_change(mine)
    said = f"McNemar {p_words(test['p'])}{against}: {lost} items lost, {won} won"
    if found is None:
        return said
    return f"{said}; 95 % interval of the change {' to '.join(change(mine.metric, end) for end in found[1:])}"


def paired_change(mine: Measurement) -> Interval | None:
    """An accuracy minus the one it was paired with, and the interval of that; None where it was not paired."""
    test, items = mine.settings.get("paired"), mine.settings.get("items")
    if test is None or not items:
        return None
    return paired_share(test["only_candidate_right"], test["only_baseline_right"], items)


def p_words(p: float) -> str:
    """'p = 0.021', 'p < 0.001'."""
    return "p < 0.001" if p < 0.001 else f"p = {significant(p, 2)}"


def _tie(mine: Measurement, dense: Measurement) -> str:
    """What is known exactly and equal is the same; of what has an error that cannot be said."""
    exact = mine.low is None and dense.low is None and mine.value == dense.value
    return "the same" if exact else "no difference beyond the error"


def _change(mine: Measurement, dense: Measurement) -> str:
    if (metric(mine.metric).role == "cost" or timed(mine)) and dense.value > 0:
        gap = share_of(mine, dense).value - 1.0
        return f"{_sign(gap)}{share_words(abs(gap))}"
    gap = mine.value - dense.value
    sign = _sign(gap)
    if not math.isfinite(gap):
        return f"{sign}{'infinite' if math.isinf(gap) else 'not a number'}"
    if metric(mine.metric).unit == "%":  # a change from 10 to 20 % is no change by 10 %
        return f"{sign}{abs(gap):.1f} points"
    return f"{sign}{show(mine.metric, abs(gap))}"


def _sign(gap: float) -> str:
    return "+" if gap > 0 else "\u2212"
