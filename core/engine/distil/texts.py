"""Conversations and labelled texts as token sequences.

Of a conversation only the answers count, as the model's own chat template has them.

Messages reach the template unchanged: text, lists of parts, tool calls. What it cannot take is found out before
training, said in its own words, counted, and refused beyond a small share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.data.conversations import Message
from core.engine.data.chat import Refused, plain_ids, templated_ids
from core.engine.distil.batches import LabelledExamples

Say = Callable[[str], None]
MOST_REFUSED = 0.1
"""The share of conversations a template may refuse; beyond it, the data is not what the model was made for."""


@dataclass
class _LeftOut:
    """What cannot be learned from, and why."""

    total: int = 0
    too_long: int = 0
    cut: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def raise_if_many(self) -> None:
        if len(self.refused) > MOST_REFUSED * self.total:
            row, words = self.refused[0]
            raise RetortError(
                f"{len(self.refused)} of {self.total} conversations cannot be put into the model's chat template; the "
                f"first is number {row}: {words}.",
                "Change these conversations, or take them out of the data.",
            )

    def say(self, length: int, say: Say) -> None:
        if self.refused:
            row, words = self.refused[0]
            say(f"{len(self.refused)} of {self.total} conversations were left out; the first is number {row}: {words}.")
        if self.too_long:
            say(
                f"{self.too_long} of {self.total} conversations have no answer within {length} tokens and were left "
                "out."
            )
        if self.cut:
            say(f"{self.cut} of {self.total} conversations are longer than {length} tokens and were cut there.")


def conversations(
    rows: Iterable[Sequence[Message]],
    tokenizer: Any,
    length: int,
    count_prompt: bool = False,
    say: Say = lambda text: None,
) -> list[tuple[Tensor, Tensor]]:
    """Every conversation with at least one token that counts within `length`, as `(ids, counted)`.

    Args:
        say: told in a sentence each what was left out or cut.

    Raises:
        RetortError: none is left, or the template refuses more than `MOST_REFUSED` of them.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    left = _LeftOut()
    for number, row in enumerate(rows, 1):
        left.total = number
        try:
            ids, counted = conversation(row, tokenizer, None, count_prompt)
        except Refused as refusal:
            left.refused.append((number, str(refusal)))
            continue
        if not bool(counted[1:length].any()):
            left.too_long += 1
            continue
        left.cut += len(ids) > length
        kept.append((ids[:length], counted[:length]))
    left.raise_if_many()
    if not kept:
        raise RetortError(
            f"None of {left.total} conversations has an answer that counts within {length} tokens.",
            "Check the prompt and answer columns, or allow longer sequences.",
        )
    left.say(length, say)
    return kept


def conversation(
    messages: Sequence[Message], tokenizer: Any, length: int | None, count_prompt: bool = False
) -> tuple[Tensor, Tensor]:
    """One conversation as `(ids, counted)`, both `(tokens,)`: only what the assistant says counts.

    The tokenizer's own chat template is used; without one, the messages follow each other, each answer
    closed by the end-of-text token. Longer conversations are cut at `length`, if given.

    Raises:
        RetortError: the template rewrites earlier turns, so that the answer cannot be told apart.
    """
    render = templated_ids if getattr(tokenizer, "chat_template", None) else plain_ids
    ids: list[int] = []
    counted: list[bool] = []
    for i, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        before, after = render(messages, i, tokenizer, True), render(messages, i + 1, tokenizer, False)
        if after[: len(before)] != before or before[: len(ids)] != ids:
            raise RetortError(
                "This model's chat template changes earlier turns, so what counts cannot be told apart.",
                "Use conversations of one prompt and one answer, or count the prompt as well.",
            )
        answer = after[len(before) :]
        kept = _answer_end(answer, tokenizer)
        counted += [False] * (len(before) - len(ids)) + [True] * kept + [False] * (len(answer) - kept)
        ids = after
    if count_prompt:
        counted = [True] * len(ids)
    return torch.tensor(ids[:length]), torch.tensor(counted[:length], dtype=torch.bool)


def _answer_end(answer: Sequence[int], tokenizer: Any) -> int:
    """Tokens of `answer` up to its last special token: a template's line break after it is not the model's to say."""
    special = set(tokenizer.all_special_ids)
    last = [i for i, token in enumerate(answer) if token in special]
    return last[-1] + 1 if last else len(answer)


def labelled(
    texts: Sequence[str],
    labels: Sequence[str],
    names: Sequence[str],
    tokenizer: Any,
    length: int,
    padding: int | None = None,
    pairs: Sequence[str] | None = None,
) -> LabelledExamples:
    """Texts (with their seconds in `pairs`) and their classes.

    `names` are the model's classes in order, `padding` the token it fills up with.

    Raises:
        RetortError: no example, a label the model does not know, or pairs for a model that marks which is which.
    """
    known = {name: i for i, name in enumerate(names)}
    unknown = sorted({label for label in labels if label not in known})
    if unknown or not texts:
        raise RetortError(
            f"The model does not know these labels: {', '.join(unknown[:5])}." if unknown else "The data is empty.",
            f"Use the model's labels: {', '.join(names)}.",
        )
    seconds = None if pairs is None else list(pairs)
    encoded = tokenizer(list(texts), seconds, truncation=True, max_length=length)
    if any(any(kinds) for kinds in encoded.get("token_type_ids", []) if pairs is not None):
        raise RetortError(
            "This model is told which of two texts a token belongs to, and Retort does not train that.",
            "Put both texts into one column, or use a model without such marks (RoBERTa, or a decoder).",
        )
    rows = encoded["input_ids"]
    wanted = torch.tensor([known[label] for label in labels])
    return LabelledExamples([torch.tensor(row) for row in rows], wanted, padding or 0)
