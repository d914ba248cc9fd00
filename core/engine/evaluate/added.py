"""Metrics that name the function which measures them: what a guide's reader or another package adds."""

from __future__ import annotations

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.base.functions import load_function
from core.base.text import one_line
from core.engine.models.load import Loaded
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS, Metric


def added_measurements(loaded: Loaded, windows: Tensor) -> tuple[list[Measurement], list[str]]:
    """Every metric of the registry with an `entry`, measured; and a sentence for each that could not be.

    A metric that fails costs nothing but itself: the candidate keeps every other figure.

    Args:
        windows: `(windows, length)` int64, the tokens of the evaluation text.
    """
    found: list[Measurement] = []
    notes: list[str] = []
    for metric in (m for m in METRICS.values() if m.entry):
        try:
            value = _measure(metric, loaded, windows)
        except Exception as error:  # the function of somebody else may raise anything
            why = error.cause if isinstance(error, RetortError) else f"{type(error).__name__}: {error}"
            notes.append(f"{metric.label} was not measured: {one_line(why, 300)}")
            continue
        if value is not None:
            found.append(_measurement(metric, value, loaded))
    return found, notes


def _measure(metric: Metric, loaded: Loaded, windows: Tensor) -> float | None:
    function = load_function(metric.entry)
    with torch.inference_mode():
        value = function(loaded.model, loaded.tokenizer, windows)
    return None if value is None else float(value)


def _measurement(metric: Metric, value: float, loaded: Loaded) -> Measurement:
    dtype = str(loaded.dtype).removeprefix("torch.")
    settings = {"function": metric.entry}
    return Measurement(
        metric=metric.id, value=value, unit=metric.unit, device=loaded.model.device.type, dtype=dtype, settings=settings
    )
