"""Times, compared only with what was timed beside them. Light: no torch.

A machine is faster at one moment than at another, so milliseconds of different moments say nothing about two models.
What does is the ratio of a candidate's time to that of the dense model timed in turns with it. To be drawn, limited,
ranked and priced in milliseconds, that ratio is multiplied by one reference for all: a time of the dense model.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.analysis.statistics import CONFIDENCE, student_quantile
from core.metrics import Measurement, metric, show
from core.results import Result

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


@dataclass(frozen=True)
class Reference:
    """The one time of the dense model that ratios are multiplied by: the median of its timings on quiet machines.
    Of two in the middle it is the faster one: what disturbs a machine only adds.

    Where every timing was disturbed by other work (`quiet` is False), the median of all of them.
    """

    metric: str
    value: float
    timings: int
    quiet: bool = True
    machine: str = ""
    """Where they were taken, if that is recorded: of several machines and numbers of threads, the most frequent."""

    @property
    def sentence(self) -> str:
        """How a time in milliseconds came about."""
        of = "its one timing" if self.timings == 1 else f"the median of its {self.timings:,} timings"
        busy = "" if self.quiet else ", all of them on a busy machine"
        where = f" on {self.machine}" if self.machine else ""
        return (
            f"{metric(self.metric).label}: each model's ratio to the dense model timed in turns with it, times "
            f"{show(self.metric, self.value)}, the time of the dense model ({of}{where}{busy})."
        )


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
    half = student_quantile((1.0 + CONFIDENCE) / 2.0, rounds - 1) * float(logs.std(ddof=1)) / math.sqrt(rounds)
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
    if m.low is None and m.high is None and "ratio" in m.settings:
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


Asked = tuple[Any, ...]
"""What was timed: the metric, the prompt, the new tokens and the batch."""
References = Mapping[Asked, Reference]
"""One reference for everything that was asked for in the same way."""


def asked(m: Measurement) -> Asked:
    return (m.metric, *(m.settings.get(k) for k in ("prompt", "new_tokens", "batch")))


def reference(found: Iterable[tuple[str, Measurement]], dense: Collection[str]) -> dict[Asked, Reference]:
    """The reference for times: from those the dense model took alone and beside each candidate.

    Args:
        found: key of the candidate and time; the dense models' own among them.
        dense: keys of the dense models.
    """
    taken: dict[Asked, list[tuple[float, Measurement]]] = {}
    for key, m in found:
        value = m.settings.get("measured_ms", m.value) if key in dense else m.settings.get("baseline_value")
        if m.metric in TIMES and value is not None and 0.0 < value < math.inf:
            taken.setdefault(asked(m), []).append((value, m))
    return {what: _median(what[0], timings) for what, timings in taken.items()}


def _median(name: str, taken: Sequence[tuple[float, Measurement]]) -> Reference:
    places = [(str(m.settings.get("machine") or ""), m.settings.get("threads")) for _, m in taken]
    most = Counter(places).most_common(1)[0][0]
    here = [t for t, place in zip(taken, places, strict=True) if place == most]
    quiet = [value for value, m in here if not busy(m)]
    values = quiet or [value for value, _ in here]
    return Reference(name, statistics.median_low(values), len(values), bool(quiet), most[0])


def sentences(refs: References, metric_id: str) -> str:
    """How the times of a metric came about; '' where there are none."""
    return " ".join(ref.sentence for ref in refs.values() if ref.metric == metric_id)


def comparable(found: Mapping[str, Measurement], dense: Collection[str], refs: References) -> dict[str, Measurement]:
    """Times by key as ratio times reference, with the ratio's interval; `settings` keep what was measured.

    The dense model has the reference and no error, since it is what the others are relative to. A time without a ratio
    stays as it was measured and says that it cannot be compared (`stray`).
    """
    return {key: _against(m, key in dense, refs.get(asked(m))) for key, m in found.items()}


def _against(m: Measurement, dense: bool, ref: Reference | None) -> Measurement:
    ratio = Ratio(1.0, 1.0, 1.0) if dense else ratio_of(m)
    if ref is None or ratio is None:
        return _with(m, m.value, m.low, m.high, {"comparable": False})
    told: dict[str, Any] = {
        "measured_ms": m.settings.get("measured_ms", m.value),
        "reference_ms": ref.value,
        "reference": f"median of {ref.timings} {'quiet ' if ref.quiet else ''}timings of the dense model",
    }
    if dense:
        return _with(m, ref.value, None, None, told)
    told |= {"ratio": ratio.value, "interval": "95 % interval of the ratio to the dense model timed in turns"}
    if not ratio.bounded:
        return _with(m, ratio.value * ref.value, None, None, told)
    told |= {"ratio_low": ratio.low, "ratio_high": ratio.high}
    return _with(m, ratio.value * ref.value, ratio.low * ref.value, ratio.high * ref.value, told)


def _with(m: Measurement, value: float, low: float | None, high: float | None, told: dict[str, Any]) -> Measurement:
    return Measurement.model_construct(  # nothing in it is new, and charts have thousands
        metric=m.metric,
        unit=m.unit,
        value=value,
        low=low,
        high=high,
        obtained=m.obtained,
        device=m.device,
        dtype=m.dtype,
        settings={**m.settings, **told},
        samples=None,
    )


def from_time(m: Measurement, decode: Measurement | None) -> Measurement:
    """Energy estimated as watts times a token's time, from the comparable time; measured energy stays as it is."""
    watts = m.settings.get("watts")
    if m.obtained != "estimated" or watts is None:
        return m
    if decode is None or stray(decode):
        return _with(m, m.value, m.low, m.high, {"comparable": False})
    ends = [None if b is None else watts * b / 1e3 for b in (decode.low, decode.high)]
    return _with(m, watts * decode.value / 1e3, ends[0], ends[1], compared_as(decode))


def compared_as(decode: Measurement) -> dict[str, Any]:
    """What an estimate from a time takes over from it, so that it compares as the time does."""
    names = ("ratio", "ratio_low", "ratio_high", "comparable", "contended", "other_cpu_cores")
    return {name: decode.settings[name] for name in names if name in decode.settings}


def references(results: Iterable[Result]) -> dict[Asked, Reference]:
    """The references of all times measured on these candidates of one model."""
    known = list(results)
    return reference(((r.key, m) for r in known for m in r.measurements), {r.key for r in known if r.baseline})


def aligned(results: Sequence[Result], refs: References | None = None) -> list[Result]:
    """The candidates of one model with all their times made comparable; done again it changes nothing.

    `refs` are those of a larger set that these stand among; None: of these.
    """
    known = references(results) if refs is None else refs
    return [r.model_copy(update={"measurements": _measurements(r, known)}) for r in results]


def _measurements(result: Result, refs: References) -> list[Measurement]:
    found = [_against(m, result.baseline, refs.get(asked(m))) if m.metric in TIMES else m for m in result.measurements]
    decode = next((m for m in found if m.metric == "decode_ms"), None)
    return [from_time(m, decode) if m.metric in FROM_TIMES else m for m in found]
