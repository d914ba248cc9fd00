"""Perplexity of causal models on non-overlapping windows; of masked ones as a labelled pseudo-perplexity.

Mean negative log-likelihood over all predicted tokens, then exp: a window of w tokens predicts w - 1.
Windows are full, so padding never counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.analysis.statistics import RESAMPLES, SEED, bootstrap_mean
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.evaluate.masked import MASKED_SHARE, masked_losses
from core.engine.models.chunked_head import ChunkedHead, language_model_kind, token_losses
from core.registry.formatting import LARGEST_PERPLEXITY
from core.registry.measurement import Measurement

_LARGEST_LOSS = math.log(LARGEST_PERPLEXITY)
INTERVAL = f"95 % bootstrap over windows (expanded percentiles, {RESAMPLES} draws, seed {SEED})"


def perplexity(
    model: PreTrainedModel,
    windows: Tensor,
    batch: int,
    reporter: Reporter,
    *,
    settings: Mapping[str, Any] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> list[Measurement]:
    """Perplexity and loss per token of `model` on `windows` (n, window) of token ids.

    Args:
        batch: windows run together; it changes speed and memory, not the figures.
        settings: what the figures must say about the text: corpus, split.
        tokenizer: needed for masked models only (its mask and separator tokens).
        seed: which tokens of a masked model are masked.
    Returns:
        Perplexity and loss (nats). `samples` of both is the mean loss of each window.
    Raises:
        RetortError: no windows, no language-model head, or logits that are not numbers.
    """
    if windows.ndim != 2 or windows.shape[0] == 0 or windows.shape[1] < 2:
        raise RetortError(
            "There is no full window of text to measure perplexity on.",
            "Give more text, or a shorter evaluation window.",
        )
    kind = language_model_kind(model)
    if kind == "masked":
        losses = masked_losses(model, windows, batch, reporter, tokenizer, seed)
        how = f"pseudo-perplexity: {MASKED_SHARE:.0%} of the tokens masked at once (seed {seed}), loss of those only"
    else:
        losses = causal_losses(model, windows, batch, reporter)
        how = "perplexity: every token predicted from those before it in its window"
    record = {
        **(settings or {}),
        "kind": how,
        "window": windows.shape[1],
        "windows": windows.shape[0],
        "predicted_tokens": losses.numel(),
        "batch": batch,
        "samples": "mean loss of each window, nats",
        "interval": INTERVAL,
    }
    return _measurements(losses, model, record)


@torch.inference_mode()
def causal_losses(model: PreTrainedModel, windows: Tensor, batch: int, reporter: Reporter) -> Tensor:
    """Loss in nats of every predicted token: windows (n, window) -> (n, window - 1) float32 on the CPU."""
    source = ChunkedHead(model, windows)
    batch = source.batch(batch, windows.shape[1])
    losses: list[Tensor] = []
    for start in range(0, windows.shape[0], batch):
        reporter.checkpoint()
        ids = windows[start : start + batch].to(model.device)  # (batch, window)
        features = source.features(ids)[:, :-1].flatten(0, 1)  # (batch * (window - 1), hidden)
        losses.append(token_losses(source, features, ids[:, 1:].flatten()).view(ids.shape[0], -1).cpu())
        done = start + ids.shape[0]
        reporter.progress(done, windows.shape[0], f"Measured perplexity on {done} of {windows.shape[0]} windows.")
    return torch.cat(losses)


def _measurements(losses: Tensor, model: PreTrainedModel, record: dict[str, Any]) -> list[Measurement]:
    """From losses (windows, predicted tokens)."""
    samples = losses.double().mean(dim=1).tolist()  # (windows,)
    loss = bootstrap_mean(samples)
    bounds = (None, None) if math.isnan(loss.low) else (loss.low, loss.high)
    common: dict[str, Any] = {
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "settings": record,
        "samples": samples,
    }
    low, high = (None if b is None else safe_exp(b) for b in bounds)
    return [
        Measurement(metric="perplexity", value=safe_exp(loss.value), unit="", low=low, high=high, **common),
        Measurement(metric="loss", value=loss.value, unit="nats", low=bounds[0], high=bounds[1], **common),
    ]


def safe_exp(loss: float) -> float:
    """exp, as long as a number holds it: a ruined model's loss can be in the thousands.

    Beyond `LARGEST_PERPLEXITY` it grows with the loss itself, so that the worse of two ruined models stays the worse;
    it is shown as 'over 1e300'.
    """
    if math.isnan(loss) or loss <= _LARGEST_LOSS:
        return math.exp(loss)
    return LARGEST_PERPLEXITY * min(1 + loss - _LARGEST_LOSS, 1e7)
