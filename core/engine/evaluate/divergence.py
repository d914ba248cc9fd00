"""How far a candidate's predictions are from the baseline's: KL divergence and top-1 agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.analysis.statistics import RESAMPLES, SEED, bootstrap_mean
from core.registry.measurement import Measurement

INTERVAL = f"95 % bootstrap over windows (expanded percentiles, {RESAMPLES} draws, seed {SEED})"


def divergence(baseline: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
    """KL(baseline || candidate) in nats and top-1 agreement, from float32 logits (rows, vocabulary)."""
    p, q = baseline.log_softmax(dim=1), candidate.log_softmax(dim=1)
    # Where the baseline gives no probability at all (a logit of -inf) the term is 0, not NaN.
    terms = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))
    return terms.sum(dim=1).clamp_min(0.0), baseline.argmax(dim=1) == candidate.argmax(dim=1)


def divergence_measurements(
    kl: Tensor, agree: Tensor, model: PreTrainedModel, settings: Mapping[str, Any]
) -> list[Measurement]:
    """Mean KL to the baseline and top-1 agreement, from those of every position (windows, positions).

    `samples` are the means of each window.
    """
    record = {**settings, "positions": kl.numel(), "direction": "KL(baseline || candidate)", "interval": INTERVAL}
    pairs = (("kl_to_teacher", "nats", kl), ("top1_agreement", "%", 100.0 * agree))
    return [_measurement(metric, unit, values, model, record) for metric, unit, values in pairs]


def _measurement(metric: str, unit: str, values: Tensor, model: PreTrainedModel, record: dict[str, Any]) -> Measurement:
    samples = values.double().mean(dim=1).tolist()  # (windows,)
    mean = bootstrap_mean(samples)
    has_interval = not math.isnan(mean.low)
    return Measurement(
        metric=metric,
        value=mean.value,
        unit=unit,
        low=mean.low if has_interval else None,
        high=mean.high if has_interval else None,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        settings={**record, "samples": f"mean of each window, {unit}"},
        samples=samples,
    )
