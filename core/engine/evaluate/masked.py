"""The loss of a masked language model on tokens it cannot see.

A masked model has no left-to-right likelihood. What is measured instead, and labelled so: a fixed
share of each window's tokens is replaced by the mask token, the same ones for every candidate, and
the loss is taken on those (the training objective of BERT, Devlin et al. 2019, section 3.1, with
every chosen token masked).
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.evaluate.questions import Questions
from core.engine.evaluate.reading import read

MASKED_SHARE = 0.15
MEASURED = "Measured the masked loss"


def masked_losses(
    model: PreTrainedModel,
    windows: Tensor,
    batch: int,
    reporter: Reporter,
    tokenizer: PreTrainedTokenizerBase | None,
    seed: int,
) -> Tensor:
    """Loss in nats of the masked tokens of windows (n, window): (n, masked) float32 on the CPU.

    Raises RetortError without a mask token.
    """
    return read(model, masked_questions(windows, tokenizer, seed), batch, reporter, MEASURED).losses


def masked_questions(windows: Tensor, tokenizer: PreTrainedTokenizerBase | None, seed: int) -> Questions:
    """The masked tokens of windows (n, window), by `seed`: the same ones for every model with the same tokenizer.

    The special tokens that open and close a window, where it has them, are never masked.
    Raises RetortError without a mask token.
    """
    if tokenizer is None or tokenizer.mask_token_id is None:
        raise RetortError(
            "A masked language model needs its tokenizer's mask token to be measured, and there is none.",
            "Use a model folder whose tokenizer files are complete.",
        )
    start, stop = _text_part(windows, tokenizer)
    chosen = masked_positions(windows.shape[0], stop - start, seed) + start  # (n, masked)
    hidden = windows.scatter(1, chosen, int(tokenizer.mask_token_id))
    return Questions(hidden, windows.gather(1, chosen), chosen)


def masked_positions(windows: int, tokens: int, seed: int) -> Tensor:
    """Sorted positions to mask: (windows, masked), `MASKED_SHARE` of `tokens` and at least one, by `seed`."""
    count = max(1, round(MASKED_SHARE * tokens))
    ranks = torch.rand(windows, tokens, generator=torch.Generator().manual_seed(seed))
    return ranks.argsort(dim=1)[:, :count].sort(dim=1).values


def _text_part(windows: Tensor, tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """First and last + 1 position of the text in windows (n, window): without the special tokens around it."""
    starts = tokenizer.cls_token_id is not None and bool((windows[:, 0] == tokenizer.cls_token_id).all())
    ends = tokenizer.sep_token_id is not None and bool((windows[:, -1] == tokenizer.sep_token_id).all())
    return int(starts), windows.shape[1] - int(ends)
