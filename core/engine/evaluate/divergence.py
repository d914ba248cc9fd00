"""How far a candidate's predictions are from the baseline's: KL divergence and top-1 agreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from core.analysis.proportions import grouped_share
from core.analysis.statistics import STUDENT, Interval, mean_interval
from core.registry.measurement import Measurement

GROUPED = "95 %, Wilson's score interval for windows of dependent answers"


def divergence_measurements(
    kl: Tensor, agree: Tensor, model: PreTrainedModel, settings: Mapping[str, Any]
) -> list[Measurement]:
    """Mean KL to the baseline and top-1 agreement, from those of every position (windows, positions).

    `samples` are the means of each window.
    """
    record = {**settings, "positions": kl.numel(), "direction": "KL(baseline || candidate)"}
    nats, hits = kl.double().mean(dim=1).tolist(), agree.sum(dim=1).tolist()  # (windows,) each
    shares = [100.0 * n / agree.shape[1] for n in hits]
    same = grouped_share(hits, [agree.shape[1]] * len(hits))
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
