"""Perplexity of causal models on non-overlapping windows; of encoder-decoders that of the target given the source; of
masked models a labelled pseudo-perplexity.

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

from core.analysis.statistics import STUDENT, mean_interval
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.divergence import divergence_measurements
from core.engine.evaluate.masked import MASKED_SHARE, masked_questions
from core.engine.evaluate.masked import MEASURED as MASKED
from core.engine.evaluate.questions import Questions, left_to_right, source_to_target
from core.engine.evaluate.reading import Reading, read
from core.engine.models.chunked_head import language_model_kind
from core.registry.formatting import LARGEST_PERPLEXITY
from core.registry.measurement import Measurement

_LARGEST_LOSS = math.log(LARGEST_PERPLEXITY)
MEASURED = "Measured perplexity"
TARGET = (
    "perplexity of the target: each of its tokens predicted from the source and those before it; padding not counted"
)


def perplexity(
    model: PreTrainedModel,
    windows: Tensor,
    batch: int,
    reporter: Reporter,
    *,
    settings: Mapping[str, Any] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    record: BaselinePredictions | None = None,
    against: BaselinePredictions | None = None,
) -> list[Measurement]:
    """Perplexity and loss per token of `model` on `windows` (n, window) of token ids, in one pass over them.

    Args:
        batch: windows run together; it changes speed and memory, not the figures.
        settings: what the figures must say about the text: corpus, split.
        tokenizer: needed for masked models only (its mask and separator tokens).
        seed: which tokens of a masked model are masked.
        record: `model` is the baseline: keeps what it predicts.
        against: the baseline's predictions; its `left_out` says why the model could not be compared with them.
    Returns:
        Perplexity and loss (nats), whose `samples` are the mean losses of the windows; with `against` also the KL
        divergence from the baseline and the agreement with it.
    Raises:
        RetortError: no windows, no language-model head, or logits that are not numbers.
    """
    if windows.ndim != 2 or windows.shape[0] == 0 or windows.shape[1] < 2:
        raise RetortError(
            "There is no full window of text to measure perplexity on.",
            "Give more text, or a shorter evaluation window.",
        )
    questions, how, said = _asked(model, windows, tokenizer, seed)
    reading = read(model, questions, batch, reporter, said, record, against)
    told = {
        **(settings or {}),
        "kind": how,
        "window": windows.shape[1],
        "windows": windows.shape[0],
        "predicted_tokens": reading.losses.numel() if reading.counted is None else int(reading.counted.sum()),
        "batch": batch,
        "samples": "mean loss of each window, nats",
        "interval": STUDENT,
    }
    return [*loss_measurements(reading.losses, model, told), *_divergence(reading, model, told, against)]


def _asked(
    model: PreTrainedModel, windows: Tensor, tokenizer: PreTrainedTokenizerBase | None, seed: int
) -> tuple[Questions, str, str]:
    """What the model has to predict, how that is called, and what the progress says."""
    kind = language_model_kind(model)
    if kind == "seq2seq":
        return source_to_target(model, windows), TARGET, MEASURED
    if kind == "causal":
        return left_to_right(windows), "perplexity: every token predicted from those before it in its window", MEASURED
    how = f"pseudo-perplexity: {MASKED_SHARE:.0%} of the tokens masked at once (seed {seed}), loss of those only"
    return masked_questions(windows, tokenizer, seed), how, MASKED


def _divergence(
    reading: Reading, model: PreTrainedModel, told: dict[str, Any], against: BaselinePredictions | None
) -> list[Measurement]:
    """KL and agreement, as far as they are figures."""
    if reading.kl is None or reading.agree is None or against is None:
        return []
    found = divergence_measurements(reading.kl, reading.agree, model, told, reading.counted)
    if not bool(torch.isfinite(reading.kl).all()):
        against.left_out = "it gives no probability at all to tokens that the original expects"
        return found[1:]
    return found


def causal_losses(model: PreTrainedModel, windows: Tensor, batch: int, reporter: Reporter) -> Tensor:
    """Loss in nats of every predicted token: windows (n, window) -> (n, window - 1) float32 on the CPU."""
    return read(model, left_to_right(windows), batch, reporter, MEASURED).losses


def target_losses(model: PreTrainedModel, windows: Tensor, batch: int, reporter: Reporter) -> Tensor:
    """Loss in nats of every token of the targets of windows (n, window), as `Reading.losses`: (n, target)."""
    return read(model, source_to_target(model, windows), batch, reporter, MEASURED).losses


def loss_measurements(losses: Tensor, model: PreTrainedModel, record: dict[str, Any]) -> list[Measurement]:
    """Perplexity and loss from losses (windows, predicted tokens)."""
    samples = losses.double().mean(dim=1).tolist()  # (windows,)
    loss = mean_interval(samples)
    bounds = loss.bounds
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
