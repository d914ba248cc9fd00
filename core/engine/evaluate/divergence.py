"""How far a candidate's predictions are from the baseline's: KL divergence and top-1 agreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.analysis.proportions import grouped_share
from core.analysis.statistics import STUDENT, Interval, mean_interval
from core.registry.measurement import Measurement

GROUPED = "95 %, Wilson's score interval for windows of dependent answers"


def divergence_measurements(
    kl: Tensor, agree: Tensor, model: PreTrainedModel, settings: Mapping[str, Any], counted: Tensor | None = None
) -> list[Measurement]:
    """Mean KL to the baseline and top-1 agreement, from those of every position (windows, positions).

    `samples` are the means of each window. `counted`: the positions that are text (`Reading.counted`); None: all.
    """
    counted = torch.ones_like(agree) if counted is None else counted
    asked = counted.sum(dim=1).tolist()  # (windows,)
    record = {**settings, "positions": sum(asked), "direction": "KL(baseline || candidate)"}
    nats, hits = kl.double().mean(dim=1).tolist(), (agree & counted).sum(dim=1).tolist()  # (windows,) each
    shares = [100.0 * n / of for n, of in zip(hits, asked, strict=True)]
    same = grouped_share(hits, asked)
    percent = Interval(*(100.0 * end for end in same))
    return [
        _measurement("kl_to_teacher", "nats", mean_interval(nats), nats, model, {**record, "interval": STUDENT}),
        _measurement("top1_agreement", "%", percent, shares, model, {**record, "interval": GROUPED}),
    ]


def _measurement(
    metric: str, unit: str, mean: Interval, samples: list[float], model: PreTrainedModel, record: dict[str, Any]
) -> Measurement:
    low, high = mean.bounds
    return Measurement(
        metric=metric,
        value=mean.value,
        unit=unit,
        low=low,
        high=high,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        settings={**record, "samples": f"mean of each window, {unit}"},
        samples=samples,
    )
