"""How far a candidate's predictions are from the baseline's: KL divergence and top-1 agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.analysis.statistics import bootstrap_mean
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.evaluate.perplexity import INTERVAL
from core.engine.models.chunked_head import ChunkedHead
from core.registry.measurement import Measurement


class TokenDivergence(NamedTuple):
    """Per position, `(windows, window - 1)` on the CPU: the same positions the loss is taken on."""

    kl: Tensor  # nats, float32
    agree: Tensor  # bool: the same most likely next token


@torch.inference_mode()
def token_divergence(
    candidate: PreTrainedModel, baseline: PreTrainedModel, windows: Tensor, batch: int, reporter: Reporter
) -> TokenDivergence:
    """KL(baseline || candidate) of the next-token distribution at every position of windows (n, window).

    Raises RetortError where the vocabularies differ in size or an output is not a number.
    """
    sources = ChunkedHead(baseline, windows), ChunkedHead(candidate, windows)
    if sources[0].vocabulary != sources[1].vocabulary:
        raise RetortError(
            f"The two models have {sources[1].vocabulary:,} and {sources[0].vocabulary:,} tokens, "
            "so their predictions cannot be compared token by token.",
            "Compare models that share one tokenizer.",
        )
    batch = min(s.batch(batch, windows.shape[1]) for s in sources)
    kls: list[Tensor] = []
    agreements: list[Tensor] = []
    for start in range(0, windows.shape[0], batch):
        reporter.checkpoint()
        ids = windows[start : start + batch]
        base, cand = (s.features(ids.to(s.model.device))[:, :-1].flatten(0, 1) for s in sources)
        kl = torch.empty(base.shape[0])
        agree = torch.empty(base.shape[0], dtype=torch.bool)
        for part, logits in sources[0].chunks(base):  # (chunk, vocabulary)
            other = sources[1].rows(cand[part]).to(logits.device)
            kl[part], agree[part] = (t.cpu() for t in divergence(logits, other))
        kls.append(kl.view(ids.shape[0], -1))
        agreements.append(agree.view(ids.shape[0], -1))
        done = start + ids.shape[0]
        reporter.progress(done, windows.shape[0], f"Compared predictions on {done} of {windows.shape[0]} windows.")
    found = TokenDivergence(torch.cat(kls), torch.cat(agreements))
    if not bool(torch.isfinite(found.kl).all()):
        raise RetortError(
            "One of the two models gives values that are not numbers, so they cannot be compared.",
            "Try a lower sparsity or float32 instead of bfloat16.",
        )
    return found


def divergence(baseline: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
    """KL(baseline || candidate) in nats and top-1 agreement, from float32 logits (rows, vocabulary)."""
    p, q = baseline.log_softmax(dim=1), candidate.log_softmax(dim=1)
    # Where the baseline gives no probability at all (a logit of -inf) the term is 0, not NaN.
    terms = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))
    return terms.sum(dim=1).clamp_min(0.0), baseline.argmax(dim=1) == candidate.argmax(dim=1)


def divergence_measurements(
    candidate: PreTrainedModel,
    baseline: PreTrainedModel,
    windows: Tensor,
    batch: int,
    reporter: Reporter,
    *,
    settings: Mapping[str, Any] | None = None,
) -> list[Measurement]:
    """Mean KL to the baseline and top-1 agreement; `samples` are the means of each window."""
    tokens = token_divergence(candidate, baseline, windows, batch, reporter)
    record = {
        **(settings or {}),
        "window": windows.shape[1],
        "windows": windows.shape[0],
        "positions": tokens.kl.numel(),
        "direction": "KL(baseline || candidate)",
        "interval": INTERVAL,
    }
    pairs = (("kl_to_teacher", "nats", tokens.kl), ("top1_agreement", "%", 100.0 * tokens.agree))
    return [_measurement(metric, unit, values, candidate, record) for metric, unit, values in pairs]


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
