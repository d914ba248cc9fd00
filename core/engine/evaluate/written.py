"""Answers that a model writes, greedily, and whether they are right."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from itertools import groupby, islice, takewhile
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from core.base.errors import Impossible
from core.base.progress import Reporter
from core.engine.models.context import context_of
from core.engine.models.plain_generation import end_tokens, plain_generation

_AROUND = string.punctuation + string.whitespace


class _Stopped(StoppingCriteria):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """True for each row whose new text holds one of the stop texts."""

    def __init__(self, tokenizer: Any, prompt: int, stop: Sequence[str]) -> None:
        self._tokenizer, self._prompt, self._stop = tokenizer, prompt, stop

    def __call__(self, input_ids: Tensor, scores: Tensor, **more: Any) -> Tensor:  # type: ignore[override, unused-ignore]
        texts = self._tokenizer.batch_decode(input_ids[:, self._prompt :], skip_special_tokens=True)
        return torch.tensor([_cut(t, self._stop) != t.lstrip() for t in texts], device=input_ids.device)


@torch.inference_mode()
def written_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    stop: Sequence[str],
    new_tokens: int,
    batch: int,
    reporter: Reporter,
) -> list[str]:
    """The likeliest token after the other, at most `new_tokens`, up to the first text of `stop` or the end of text.

    Prompts of equal length are continued together, so that none is padded. One that leaves no room for an answer in the
    model's context loses tokens at its start.

    Raises:
        Impossible: the context holds no prompt beside `new_tokens`.
    """
    context = context_of(model)
    if context is not None and new_tokens >= context:
        raise Impossible(
            f"An answer of {new_tokens} tokens leaves no room for a question: this model reads at most {context}.",
            "Ask for fewer 'new_tokens'.",
        )
    rows = [list(p) if context is None else list(p)[-(context - new_tokens) :] for p in prompts]
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    found = [""] * len(rows)
    done = 0
    for length, group in groupby(order, key=lambda i: len(rows[i])):
        while part := list(islice(group, batch)):
            reporter.checkpoint()
            ids = torch.tensor([rows[i] for i in part], device=model.device)
            for i, text in zip(part, _continued(model, tokenizer, ids, length, stop, new_tokens), strict=True):
                found[i] = text
            done += len(part)
            reporter.progress(done, len(rows), f"Wrote {done} of {len(rows)} answers.")
    return found


def _continued(model: Any, tokenizer: Any, ids: Tensor, length: int, stop: Sequence[str], new_tokens: int) -> list[str]:
    criteria = StoppingCriteriaList([_Stopped(tokenizer, length, stop)] if stop else [])
    with plain_generation(model):
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            stopping_criteria=criteria,
        )
        ends = set(end_tokens(model))
    rows = [list(takewhile(lambda token: token not in ends, row)) for row in written[:, length:].tolist()]
    return [_cut(t, stop) for t in tokenizer.batch_decode(rows, skip_special_tokens=True)]


def _cut(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop text; empty space at its beginning is no part of an answer."""
    text = text.lstrip()
    ends = [at for s in stop if (at := text.find(s)) >= 0]
    return text[: min(ends)] if ends else text


def is_right(written: str, expected: Sequence[str], match: Literal["exact", "contains"]) -> bool:
    """Whether an answer is, or holds as whole words, one of the expected texts; without case, spaces and punctuation
    around it."""
    said = plain_answer(written)
    wanted = [plain_answer(e) for e in expected]
    if match == "exact":
        return said in wanted
    return any(re.search(rf"(?<!\w){re.escape(w)}(?!\w)", said) is not None for w in wanted if w)


def plain_answer(text: str) -> str:
    """'  New  York.' is 'new york'; an answer of punctuation alone stays."""
    joined = " ".join(text.split()).casefold()
    return joined.strip(_AROUND) or joined
