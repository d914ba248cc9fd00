"""Times of different moments on one scale: each as its paired ratio times one time of the dense model."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.analysis.paired_times import FROM_TIMES, TIMES, Ratio, busy, ratio_of, stray
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.measurement import Measurement
from core.registry.metrics import metric


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


Asked = tuple[str, *tuple[object, ...]]
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
    told: dict[str, object] = {
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


def _with(m: Measurement, value: float, low: float | None, high: float | None, told: dict[str, object]) -> Measurement:
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


def compared_as(decode: Measurement) -> dict[str, object]:
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
