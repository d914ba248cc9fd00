"""One pass of a language model over the evaluation text: losses, and how its predictions differ from the baseline's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.progress import Reporter
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.questions import Questions
from core.engine.models.chunked_head import ChunkedHead, losses_of, refuse_not_finite
from core.engine.models.divergence import divergence


class Reading(NamedTuple):
    """For every predicted token, (windows, predicted) on the CPU. No KL and agreement without a comparison.

    Where some of the targets are padding, losses and KL are 0 there, and those that count are scaled so that the mean
    over all positions is the mean over those that count: a longer target weighs more, as its tokens do.
    """

    losses: Tensor  # nats, float32
    kl: Tensor | None = None  # KL(baseline || model), nats, float32
    agree: Tensor | None = None  # bool: the baseline's most likely token is this model's too
    counted: Tensor | None = None  # bool; None: all are


@torch.inference_mode()
def read(
    model: PreTrainedModel,
    questions: Questions,
    batch: int,
    reporter: Reporter,
    said: str,
    record: BaselinePredictions | None = None,
    against: BaselinePredictions | None = None,
) -> Reading:
    """Reads all windows once.

    Args:
        batch: windows run together; fewer where full logits must be held.
        said: what the progress calls it: 'Measured perplexity'.
        record: `model` is the baseline, and what it predicts is kept here.
        against: what the predictions are compared with; its `left_out` says why they were not.

    Raises RetortError where a loss is not a finite number.
    """
    source, count = ChunkedHead(model, questions.ids), questions.ids.shape[0]
    batch = source.batch(batch, questions.ids.shape[1])
    if record is not None:
        record.begin(source)
    baseline = against if against is not None and against.answers(source, questions) else None
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, count, batch):
        reporter.checkpoint()
        part = slice(start, min(start + batch, count))
        features = questions.answers(source.features(questions.ids[part].to(model.device)), part)
        if record is not None:
            record.add(source, questions, part, features)
        found.append(_judged(source, features, questions.targets[part], baseline, part))
        reporter.progress(part.stop, count, f"{said} on {part.stop} of {count} windows.")
    if record is not None:
        record.end(questions)
    losses, *others = (torch.cat(values).view(count, -1) for values in zip(*found, strict=True))
    if questions.counted is None:
        return Reading(losses, *others)
    weight = questions.counted / questions.counted.float().mean()
    return Reading(
        losses * weight, *(o if o.dtype == torch.bool else o * weight for o in others), counted=questions.counted
    )  # type: ignore[misc]


def _judged(
    source: ChunkedHead, features: Tensor, targets: Tensor, baseline: BaselinePredictions | None, part: slice
) -> tuple[Tensor, ...]:
    """Losses (rows,) of features (rows, width) of the windows `part`; with a baseline also KL and agreement."""
    flat = targets.flatten().to(features.device)
    losses = torch.empty(flat.shape[0], dtype=torch.float32, device=flat.device)
    kl, agree = torch.empty_like(losses), torch.empty_like(losses, dtype=torch.bool)
    beside = baseline.features(part) if baseline is not None else None
    for rows, logits in source.chunks(features):  # (chunk, vocabulary); the head runs once for all three
        losses[rows] = losses_of(logits, flat[rows])
        if baseline is not None and beside is not None:
            kl[rows], agree[rows] = divergence(baseline.logits(beside[rows], logits.device), logits)
    refuse_not_finite(losses)
    return (losses.cpu(), kl.cpu(), agree.cpu()) if baseline is not None else (losses.cpu(),)
