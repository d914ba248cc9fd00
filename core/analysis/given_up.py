"""What a candidate gives up of the original's quality, in the one unit a study is decided by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.analysis.differences import UNTOLD, difference, paired_change
from core.analysis.promised_vs_measured import Measured, find
from core.registry.formatting import MINUS
from core.registry.measurement import too_few
from core.registry.metrics import METRICS, metric

LOSS = "loss_change"
"""The measure of language models: the change of the loss a token, as a share of the original's loss."""
ALLOWED = {LOSS: 0.05}
"""How much may be given up unless the reader says otherwise: 5 % of the loss."""
ALLOWED_POINTS = 0.01
"""The same of an accuracy or F1: one point."""


@dataclass(frozen=True)
class GivenUp:
    """How much worse than the original: 0.05 is 5 % more loss, or 5 points of accuracy. Below 0: better."""

    measure: str
    value: float
    low: float | None = None
    """Bounds of the 95 % interval of the paired change, where it is known."""
    high: float | None = None
    none: bool = False
    """True where no loss of quality can be claimed: the error covers it, or there is none."""
    untold: str = ""
    """Why it cannot be told whether quality was lost: 'no interval: 2 windows, and it takes 4'."""

    @property
    def words(self) -> str:
        """'loss +3.9 %', 'accuracy -1.2 points'; of too few windows it says so."""
        return f"{_named(self.measure)} {amount(self.measure, self.value)}" + (f", {UNTOLD}" if self.untold else "")

    @property
    def interval(self) -> str:
        """'+3.4 to +4.4 %'; '' where it is not known."""
        if self.low is None or self.high is None or not self.low < self.high:
            return ""
        ends = sorted((self.low, self.high), reverse=self.measure != LOSS)
        first, last = (amount(self.measure, end) for end in ends)
        unit = last.rpartition(" ")[2]
        return f"{first.removesuffix(f' {unit}')} to {last}"


def measure_of(candidates: Sequence[Measured], baseline: Measured) -> str | None:
    """What a study is decided by: the loss where there is one, else the first accuracy or F1 that the original has."""
    if any(given_up(c, baseline, LOSS) is not None for c in candidates):
        return LOSS
    others = [m for m in METRICS if m == "f1" or m.partition(":")[0] in ("accuracy", "accuracy_norm")]
    return next((m for m in others if any(given_up(c, baseline, m) is not None for c in candidates)), None)


def given_up(candidate: Measured, baseline: Measured, measure: str) -> GivenUp | None:
    """How much quality a candidate lacks; None where it was not measured, or is no number."""
    if measure != LOSS:
        return _of_answers(candidate, baseline, measure)
    change, mine = find(candidate, LOSS), find(candidate, "loss")
    if change is None or mine is None:
        return _of_perplexity(candidate, baseline)
    dense = mine.value - change.value  # of the same windows, whichever study they come from
    if not dense > 0.0 or not math.isfinite(change.value):
        return None
    low, high = (None if end is None else end / dense for end in (change.low, change.high))
    if untold := too_few(change):
        return GivenUp(LOSS, change.value / dense, untold=untold)
    surely = change.value if change.low is None else change.low
    return GivenUp(LOSS, change.value / dense, low, high, none=surely <= 0.0)


def _of_perplexity(candidate: Measured, baseline: Measured) -> GivenUp | None:
    """Where the loss was not recorded: perplexity is its exponential."""
    mine, dense = find(candidate, "perplexity"), find(baseline, "perplexity")
    if mine is None or dense is None or not dense.value > 1.0 or not 0.0 < mine.value < math.inf:
        return None
    share = math.log(mine.value / dense.value) / math.log(dense.value)
    told = difference(candidate, baseline, "perplexity")
    if untold := too_few(mine):
        return GivenUp(LOSS, share, untold=untold)
    return GivenUp(LOSS, share, none=told is None or told.better is not False)


def _of_answers(candidate: Measured, baseline: Measured, measure: str) -> GivenUp | None:
    told = difference(candidate, baseline, measure)
    mine = find(candidate, measure)
    if told is None or told.original is None or mine is None or not math.isfinite(mine.value):
        return None
    known = paired_change(mine)
    low, high = (None, None) if known is None else (-known.high, -known.low)
    return GivenUp(measure, told.original - mine.value, low, high, none=told.better is not False)


def allowed(measure: str) -> float:
    """How much of it may be given up unless the reader says otherwise."""
    return ALLOWED.get(measure, ALLOWED_POINTS)


def amount(measure: str, value: float) -> str:
    """A loss of quality in words: '+5 %' more loss, '-1 point' of accuracy. Halves go up."""
    if measure == LOSS:
        return f"{_sign(value)}{_number(abs(value))} %"
    points = _number(abs(value))
    return f"{_sign(-value)}{points} {'point' if points == '1' else 'points'}"


def _sign(value: float) -> str:
    return MINUS if value < 0 else "+"


def _number(value: float) -> str:
    """Percent with one digit behind the point, none where it is whole or large."""
    percent = 100.0 * value
    if percent >= 99.95:
        return f"{math.floor(percent + 0.5):,}"
    return f"{math.floor(percent * 10.0 + 0.5) / 10.0:.1f}".removesuffix(".0")


def _named(measure: str) -> str:
    return "loss" if measure == LOSS else lowered(metric(measure).label)


def lowered(label: str) -> str:
    """A label inside a sentence: 'accuracy', and 'PIQA accuracy' as it is."""
    return label if label[:2].isupper() or label[1:2].isdigit() else label[0].lower() + label[1:]
