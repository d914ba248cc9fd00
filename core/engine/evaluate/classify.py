"""Sequence classification: accuracy, macro F1 and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.analysis.confusion import counts
from core.analysis.proportions import WILSON, right_share
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.compatibility import class_names
from core.engine.models.context import context_of, padded, padding_of, pools_last
from core.registry.measurement import Measurement

Counts = NDArray[np.int64]
MOST_ANSWERS = 20_000
"""Texts up to which the answers themselves are kept with the figures."""


@torch.inference_mode()
def predictions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch: int,
    reporter: Reporter,
    pairs: Sequence[str] | None = None,
) -> list[int]:
    """The most likely class of each text, or of each with its second in `pairs`. Too long ones are cut at their end.

    Batches hold texts of like length, padded with an attention mask. A decoder's classifier that knows no padding
    token reads them one by one.
    Raises RetortError where the model has no classes or its output is not a number.
    """
    rows = tokenizer(
        list(texts), None if pairs is None else list(pairs), truncation=True, max_length=limit_of(model, tokenizer)
    )
    encoded: list[list[int]] = rows["input_ids"]
    kinds: list[list[int]] | None = rows.get("token_type_ids") if pairs is not None else None
    fill = padding_of(model.config)
    if fill is None and pools_last(model):
        batch = 1  # without a padding token such a model takes one text at a time
    order = sorted(range(len(texts)), key=lambda i: -len(encoded[i]))
    found = [0] * len(texts)
    for start in range(0, len(order), batch):
        reporter.checkpoint()
        part = order[start : start + batch]
        ids, mask = padded([encoded[i] for i in part], fill or 0)
        more = {}
        if kinds is not None:  # which of the two texts a token belongs to
            more["token_type_ids"] = padded([kinds[i] for i in part], 0)[0].to(model.device)
        logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), **more).logits.float()
        if logits.ndim != 2 or not bool(torch.isfinite(logits).all()):
            raise RetortError(
                "The model does not give one finite score for each class.",
                "Choose a sequence classification model, or a lower sparsity.",
            )
        for i, label in zip(part, logits.argmax(dim=1).tolist(), strict=True):
            found[i] = int(label)
        done = min(start + batch, len(order))
        reporter.progress(done, len(order), f"Classified {done} of {len(order)} texts.")
    return found


def limit_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens of a text are read."""
    return int(min(context_of(model) or 512, tokenizer.model_max_length))


def confusion_matrix(gold: Sequence[int], predicted: Sequence[int], classes: int) -> Counts:
    """(classes, classes) counts: row is the right class, column the predicted one."""
    return np.array(counts(gold, predicted, classes), dtype=np.int64)


def macro_f1(matrix: Counts) -> float:
    """Mean over classes of 2 tp / (2 tp + fp + fn). Classes that are neither present nor predicted do not count."""
    hits = np.diag(matrix).astype(np.float64)
    involved = matrix.sum(axis=0) + matrix.sum(axis=1)  # 2 tp + fp + fn
    present = involved > 0
    return float((2.0 * hits[present] / involved[present]).mean()) if present.any() else 0.0


def classification_measurements(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    gold: Sequence[int],
    batch: int,
    reporter: Reporter,
    *,
    settings: Mapping[str, Any] | None = None,
    pairs: Sequence[str] | None = None,
) -> list[Measurement]:
    """Accuracy and macro F1 on `texts` with the right classes `gold` (ids of the model's own labels).

    The confusion matrix, the labels and the class given to each text (`answers`, of up to `MOST_ANSWERS` texts)
    are in the settings of `f1`.
    Raises RetortError for no texts, unequal lengths or classes the model does not know.
    """
    labels = class_names(model)
    classes = len(labels)
    if not texts or len(texts) != len(gold) or min(gold) < 0 or max(gold) >= classes:
        raise RetortError(
            f"The {len(texts)} texts and {len(gold)} labels do not fit a model with {classes} classes.",
            "Check that every text has a label and that the labels are those the model was trained on.",
        )
    predicted = predictions(model, tokenizer, texts, batch, reporter, pairs)
    right = [float(a == b) for a, b in zip(predicted, gold, strict=True)]
    matrix = confusion_matrix(gold, predicted, classes)
    share = right_share(right)
    common: dict[str, Any] = {"device": model.device.type, "dtype": str(model.dtype).removeprefix("torch.")}
    record = {**(settings or {}), "items": len(texts)}
    answers = {"answers": predicted} if len(predicted) <= MOST_ANSWERS else {}
    return [
        Measurement(
            metric="accuracy",
            value=share.value,
            unit="",
            low=share.low,
            high=share.high,
            samples=right,
            settings={**record, "samples": "1 for each text classified correctly, else 0", "interval": WILSON},
            **common,
        ),
        Measurement(
            metric="f1",
            value=macro_f1(matrix),
            unit="",
            settings={**record, "confusion": matrix.tolist(), "labels": labels, **answers},
            **common,
        ),
    ]
