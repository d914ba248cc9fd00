"""Times, compared only with what was timed beside them.

A machine is faster at one moment than at another, so milliseconds of different moments say nothing about two models.
What does is the ratio of a candidate's time to that of the dense model timed in turns with it. To be drawn, limited,
ranked and priced in milliseconds, that ratio is multiplied by one reference for all: a time of the dense model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from core.analysis.statistics import student
from core.registry.formatting import show
from core.registry.measurement import Measurement, too_few

TIMES = ("prefill_ms", "decode_ms", "batch_prefill_ms", "batch_decode_ms")
FROM_TIMES: Mapping[str, str] = {
    "energy_j_per_token": "decode_ms",
    "cost_per_mtok": "decode_ms",
    "energy_kwh_per_mtok": "decode_ms",
}
"""What is estimated from a time, and from which: it compares as that time does."""
ALONE = "timed without the dense model in turns with it"
"""Why a time cannot be compared."""
_UNKNOWN = (-math.inf, math.inf)


class Ratio(NamedTuple):
    """A candidate's time over that of the dense model timed in turns with it, and its 95 % interval.

    Where no error is known (a single round) the bounds are infinite, and no difference can be claimed.
    """

    value: float
    low: float
    high: float

    @property
    def same(self) -> bool:
        """True where no difference from the dense model can be claimed."""
        return self.low <= 1.0 <= self.high

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


def paired_ratio(mine: Sequence[float], dense: Sequence[float], rounds: int) -> Ratio:
    """The ratio of two models' times taken in turns, with its 95 % interval.

    Args:
        mine, dense: times in the order taken, equally many in each of `rounds` rounds.
    Returns:
        The geometric mean of the rounds' ratios of medians, with Student's interval of their logarithms.
    Raises ValueError where the times do not fall into rounds.
    """
    if rounds < 1 or not mine or len(mine) != len(dense) or len(mine) % rounds:
        raise ValueError(f"{len(mine)} and {len(dense)} times do not fall into {rounds} rounds")
    each = [np.median(np.asarray(t, dtype=np.float64).reshape(rounds, -1), axis=1) for t in (mine, dense)]
    logs = np.log(each[0] / each[1])  # (rounds,)
    middle = float(logs.mean())
    if rounds == 1:
        return Ratio(math.exp(middle), *_UNKNOWN)
    half = student(rounds) * float(logs.std(ddof=1)) / math.sqrt(rounds)
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def timed(m: Measurement) -> bool:
    """Whether it is a time, or estimated from one: such figures of different moments say nothing about two models."""
    return m.metric in TIMES or (m.metric in FROM_TIMES and m.obtained == "estimated")


def ratio_of(m: Measurement) -> Ratio | None:
    """The recorded ratio of a time, or of what was estimated from one; None where it was not timed in turns.

    Results of earlier versions have the spreads of both times instead of an interval: taken as independent errors of
    their logarithms, which is wider.
    """
    said = m.settings
    if not timed(m) or "baseline_timed" in said:
        return None
    if (ratio := said.get("ratio")) is not None:
        low, high = said.get("ratio_low"), said.get("ratio_high")
        return Ratio(ratio, *(_UNKNOWN if low is None or high is None else (low, high)))
    dense = said.get("baseline_value")
    if not dense or not dense > 0.0 or not m.value > 0.0:
        return None
    value = m.value / dense
    down = _off(m.value, m.low), _off(said.get("baseline_high"), dense)
    up = _off(m.high, m.value), _off(dense, said.get("baseline_low"))
    if None in down or None in up or not any((*down, *up)):  # one round has no spread
        return Ratio(value, *_UNKNOWN)
    return Ratio(value, value * math.exp(-math.hypot(*down)), value * math.exp(math.hypot(*up)))  # type: ignore[arg-type]


def _off(upper: float | None, lower: float | None) -> float | None:
    """The distance of two logarithms, at least 0; None where a bound is missing."""
    if upper is None or lower is None or not (upper > 0.0 and lower > 0.0):
        return None
    return max(0.0, math.log(upper / lower))


def busy(m: Measurement) -> bool:
    """Whether other work ran on the machine while this was timed."""
    return bool(m.settings.get("contended"))


def stray(m: Measurement) -> bool:
    """Whether it is a time, made comparable by this module, that could not be."""
    return m.settings.get("comparable") is False


def bounds(m: Measurement) -> tuple[float, float]:
    """The ends of a figure's error: the value itself where it is exact, without end where the error is not known."""
    if too_few(m) or (m.low is None and m.high is None and "ratio" in m.settings):
        return _UNKNOWN
    return m.value if m.low is None else m.low, m.value if m.high is None else m.high


def deciding(m: Measurement) -> float:
    """The value that a limit is held against: of a time that is no different from the dense model's, the latter."""
    ratio, dense = ratio_of(m), m.settings.get("reference_ms")
    return float(dense) if ratio is not None and ratio.same and dense is not None else m.value


def words(ratio: Ratio) -> str:
    """'100.3 % (98.9 to 101.8 %)': a ratio as a share, with its interval."""
    if not ratio.bounded:
        return f"{100 * ratio.value:.1f} % (one round: no error known)"
    return f"{100 * ratio.value:.1f} % ({100 * ratio.low:.1f} to {100 * ratio.high:.1f} %)"


def relative_to(values: Iterable[Measurement]) -> str:
    """What comparable times on an axis are: '' where these are none."""
    ref = next((m for m in values if "reference_ms" in m.settings), None)
    if ref is None:
        return ""
    return f"ratio to the dense model timed in turns, \u00d7 {show(ref.metric, ref.settings['reference_ms'])}"


def hints(m: Measurement) -> list[str]:
    """What stands beside a time wherever it is shown: the ratio with its interval, a tie, a busy machine."""
    ratio = ratio_of(m)
    said = []
    if ratio is not None:
        said.append(f"{words(ratio)} of the dense model's, timed in turns")
        said += ["No difference from the dense model beyond the error"] if ratio.same else []
    elif "reference_ms" in m.settings:
        said.append(f"What the others are relative to; {m.settings['reference']}")
    said += [disturbed(m)] if timed(m) and busy(m) else []
    return said


def disturbed(m: Measurement) -> str:
    """'Timed on a busy machine: other work took 1.3 cores'."""
    cores = m.settings.get("other_cpu_cores")
    return "Timed on a busy machine" + (f": other work took {cores:g} cores" if isinstance(cores, int | float) else "")
