"""Compares a candidate with its baseline, window by window."""

from __future__ import annotations

from core.analysis.statistics import STUDENT, paired_interval
from core.base.errors import RetortError
from core.registry.measurement import Measurement

_SAME = ("corpus", "split", "window", "tokens", "windows", "kind")


def loss_change(candidate: Measurement, baseline: Measurement) -> Measurement:
    """The candidate's loss minus the baseline's on the same windows, with the interval of the paired change.

    Args:
        candidate, baseline: `loss` measurements whose `samples` are the windows' mean losses.
    Returns:
        `loss_change` in nats; `samples` is the change on each window.
    Raises:
        RetortError: the two were not measured on the same windows.
    """
    a, b = candidate.samples, baseline.samples
    differing = [k for k in _SAME if candidate.settings.get(k) != baseline.settings.get(k)]
    if a is None or b is None or len(a) != len(b) or differing:
        raise RetortError(
            "The candidate and the baseline were not measured on the same windows of text"
            + (f" ({', '.join(differing)} differ)." if differing else "."),
            "Measure both with the same evaluation settings.",
        )
    change = paired_interval(a, b)
    low, high = change.bounds
    dtypes = {candidate.dtype, baseline.dtype}
    return Measurement(
        metric="loss_change",
        value=change.value,
        unit="nats",
        low=low,
        high=high,
        device=candidate.device,
        dtype=candidate.dtype,
        settings={
            **candidate.settings,
            "samples": "loss change of each window, nats",
            "interval": f"{STUDENT}, in pairs",
            **({"baseline_dtype": baseline.dtype} if len(dtypes) > 1 else {}),
        },
        samples=[x - y for x, y in zip(a, b, strict=True)],
    )
