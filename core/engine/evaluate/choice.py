"""Multiple choice by likelihood: the option the model finds most likely after the question is its answer.

Accuracy compares the summed log-likelihoods, the length-normalised one divides them by the option's
characters first, as lm-evaluation-harness does under `acc` and `acc_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.analysis.proportions import WILSON, right_share
from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.engine.data.framing import closing, opened_ids
from core.engine.evaluate.tasks.items import Item
from core.engine.models.chunked_head import ChunkedHead, language_model_kind, token_losses
from core.engine.models.context import context_of
from core.recipe.trial_keys import hashed
from core.registry.measurement import Measurement
from core.registry.tasks import TaskSet, accuracy_id


@dataclass(frozen=True)
class Encoded:
    """One option: the tokens fed to the model, and how many tokens at their end are scored (shifted by one)."""

    tokens: tuple[int, ...]
    """Context and continuation, all but the last token."""
    targets: tuple[int, ...]
    """The continuation's tokens; the first is predicted `len(targets)` positions before the end of `tokens`."""


def choice_measurements(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: TaskSet,
    items: Sequence[Item],
    batch: int,
    reporter: Reporter,
    *,
    split: str | None = None,
) -> list[Measurement]:
    """Accuracy and length-normalised accuracy on `items`; `samples` are 0 or 1 for each item.

    `settings["standard_error"]` is the sample standard deviation over the root of the number of items.
    Raises RetortError where the model is not a causal language model or its output is not a number.
    """
    if language_model_kind(model) != "causal":
        raise RetortError(
            f"{type(model).__name__} does not continue a text, so it cannot answer {task.label} by likelihood.",
            "Choose a causal language model.",
        )
    scores = option_scores(model, tokenizer, items, batch, reporter)
    plain, normalised = answers(scores, items)
    record: dict[str, Any] = {
        "task": task.id,
        "split": split or task.split,
        "content": hashed([[*i.contexts, *i.continuations, i.gold] for i in items])[:16],
        "items": len(items),
        "shots": 0,
        "usual": "accuracy_norm" if task.normalised else "accuracy",
        "samples": "1 for each item answered correctly, else 0",
        "interval": WILSON,
    }
    return choice_accuracies(task.id, plain, normalised, items, model, record)


def choice_accuracies(
    name: str,
    plain: Sequence[int],
    normalised: Sequence[int],
    items: Sequence[Item],
    model: PreTrainedModel,
    record: Mapping[str, Any],
) -> list[Measurement]:
    """Both accuracies of the options that were chosen (`answers`)."""
    return [
        accuracy(accuracy_id(name), _right(plain, items), model, {**record, "how": "highest log-likelihood"}),
        accuracy(
            accuracy_id(name, normalised=True),
            _right(normalised, items),
            model,
            {**record, "how": "highest log-likelihood per character"},
        ),
    ]


def answers(scores: Sequence[Sequence[float]], items: Sequence[Item]) -> tuple[list[int], list[int]]:
    """Index of the chosen option of each item: by likelihood, and by likelihood per character. The first of equals."""
    plain = [max(range(len(s)), key=lambda i: s[i]) for s in scores]
    normalised = [
        max(range(len(s)), key=lambda i: s[i] / max(1, item.lengths[i])) for s, item in zip(scores, items, strict=True)
    ]
    return plain, normalised


@torch.inference_mode()
def option_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    batch: int,
    reporter: Reporter,
) -> list[list[float]]:
    """Log-likelihood in nats of every option of every item.

    Options are batched longest first and padded on the right, where a causal model cannot look; options
    with the same input (yes and no after one question) are computed once.
    """
    context = context_of(model)
    after = closing(tokenizer)
    encoded = [[encode(tokenizer, c, o, context, after) for c, o in _pairs(item)] for item in items]
    wanted: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for i, opts in enumerate(encoded):
        for j, option in enumerate(opts):
            wanted.setdefault(option.tokens, []).append((i, j))
    order = sorted(wanted, key=lambda tokens: (-len(tokens), tokens))
    scores = [[0.0] * len(opts) for opts in encoded]
    source = ChunkedHead(model, torch.tensor(order[:1]))
    start = 0
    while start < len(order):
        reporter.checkpoint()
        rows = order[start : start + source.batch(batch, len(order[start]))]
        found = _score_rows(source, rows, [[(k, encoded[k[0]][k[1]].targets) for k in wanted[r]] for r in rows])
        for (i, j), value in found.items():
            scores[i][j] = value
        start += len(rows)
        reporter.progress(start, len(order), f"Scored {start} of {len(order)} options.")
    return scores


def encode(
    tokenizer: PreTrainedTokenizerBase,
    context: str,
    continuation: str,
    limit: int | None = None,
    after: int | None = None,
) -> Encoded:
    """Tokens of context and continuation read as one text, split where the context's own tokens end.

    Spaces at the end of the context move to the continuation, where tokenizers want them. A text longer than
    the model's context loses tokens at its start, as in lm-evaluation-harness. An end token that the tokenizer puts
    after a text is no part of an option; `after` is how many such there are, where that is known.

    Raises:
        Impossible: the option alone is longer than the context.
    """
    kept = context.rstrip()
    continuation = context[len(kept) :] + continuation
    after = closing(tokenizer) if after is None else after
    whole = opened_ids(tokenizer, kept + continuation, after)
    begin = min(len(opened_ids(tokenizer, kept, after)), len(whole) - 1)
    if limit is not None and len(whole) - begin > limit:
        raise option_too_long(f"{limit} tokens", f"one of {len(whole) - begin}")
    tokens = whole[:-1] if limit is None else whole[-(limit + 1) : -1]
    return Encoded(tuple(tokens), tuple(whole[begin:]))


def option_too_long(context: str, option: str) -> Impossible:
    """Why a task cannot be scored, whichever scorer was asked."""
    return Impossible(
        f"An answer to choose from is longer than the model's context ({context}; {option}).",
        "Leave this task out, or use a model that reads longer texts.",
    )


def _pairs(item: Item) -> list[tuple[str, str]]:
    return list(zip(item.contexts, item.continuations, strict=True))


def _score_rows(
    source: ChunkedHead, rows: list[tuple[int, ...]], wanted: list[list[tuple[tuple[int, int], tuple[int, ...]]]]
) -> dict[tuple[int, int], float]:
    """Sums of log-likelihoods for the options of each row, from one padded forward pass."""
    device = source.model.device
    width = len(rows[0])  # the longest
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    padded = bool((mask == 0).any())
    features = source.features(ids.to(device), mask.to(device) if padded else None).flatten(0, 1)  # (rows * width, h)
    keys: list[tuple[int, int]] = []
    spans: list[int] = []
    positions: list[Tensor] = []
    targets: list[int] = []
    for i, (row, options) in enumerate(zip(rows, wanted, strict=True)):
        for key, target in options:
            end = i * width + len(row)
            keys.append(key)
            spans.append(len(target))
            positions.append(torch.arange(end - len(target), end))
            targets.extend(target)
    losses = token_losses(source, features[torch.cat(positions).to(device)], torch.tensor(targets, device=device))
    return {key: -float(part.sum()) for key, part in zip(keys, losses.double().cpu().split(spans), strict=True)}


def _right(chosen: Sequence[int], items: Sequence[Item]) -> list[float]:
    return [float(c == item.gold) for c, item in zip(chosen, items, strict=True)]


def accuracy(metric: str, right: list[float], model: PreTrainedModel, record: Mapping[str, Any]) -> Measurement:
    """The share of `right` (1 or 0 an item) with its standard error and Wilson's interval."""
    n, mean = len(right), sum(right) / len(right)
    error = (mean * (1.0 - mean) / (n - 1)) ** 0.5 if n > 1 else None
    _, low, high = right_share(right)
    return Measurement(
        metric=metric,
        value=mean,
        unit="",
        low=low,
        high=high,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        settings={**record, "standard_error": error},
        samples=right,
    )
