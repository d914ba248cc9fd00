"""What was measured or estimated of a candidate, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field

Obtained = Literal["measured", "estimated"]


class Measurement(BaseModel):
    """A value and how it was obtained.

    `low` and `high` bound a 95 % interval for quality, and are the 10th and 90th percentile for
    times (`settings["interval"]` names which). `samples` holds the per-window (or per-item) values
    in a fixed order, so two candidates can be compared in pairs; its meaning is in
    `settings["samples"]`.
    """

    metric: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    obtained: Obtained = "measured"
    device: str = "cpu"
    dtype: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    samples: list[float] | None = None


def find_metric(measurements: Iterable[Measurement], metric_id: str) -> Measurement | None:
    """The first measurement of a metric."""
    return next((m for m in measurements if m.metric == metric_id), None)
