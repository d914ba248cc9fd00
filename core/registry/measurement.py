"""What was measured or estimated of a candidate, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field

Obtained = Literal["measured", "estimated"]
FEWEST_WINDOWS = 4
"""Windows of text below which no error is known: no interval is given then, and no difference claimed."""
_BY_WINDOW = ("perplexity", "loss", "loss_change", "kl_to_teacher", "top1_agreement")


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


def too_few(m: Measurement) -> str:
    """Why a figure has no interval and no difference is claimed from it: 'no interval: 2 windows, and it takes 4'.

    '' where that is not the reason.
    """
    windows = m.settings.get("windows") if m.metric in _BY_WINDOW else None
    return few_windows(windows) if isinstance(windows, int) and windows < FEWEST_WINDOWS else ""


def few_windows(windows: int) -> str:
    """The same words for a number of windows."""
    return f"no interval: {windows} {'window' if windows == 1 else 'windows'}, and it takes {FEWEST_WINDOWS}"


def find_metric(measurements: Iterable[Measurement], metric_id: str) -> Measurement | None:
    """The first measurement of a metric."""
    return next((m for m in measurements if m.metric == metric_id), None)
