"""From texts to token sequences: packing, chat templates of which only the answer counts, classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from core.engine.data.framing import Frame, special_frame
from core.engine.data.windows import SEPARATOR
from core.engine.distil.batches import Batch, Labelled, causal_batch
from core.errors import RetortError

Message = Mapping[str, str]


def pack(texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> Iterator[Tensor]:
    """Full windows `(length,)` of the texts, one after the other with a blank line between, as in evaluation.

    Each window is put into `frame`; None: between the tokenizer's own special tokens, where it has any. Reads a text
    only when its tokens are needed, so a stream never has to fit in memory. What is left over at the end and
    fills no window is dropped.
    """
    before, after = special_frame(tokenizer) if frame is None else frame
    body = length - len(before) - len(after)
    waiting: list[int] = []
    for text in texts:
        waiting += tokenizer(text + SEPARATOR, add_special_tokens=False, verbose=False)["input_ids"]
        while len(waiting) >= body:
            yield torch.tensor([*before, *waiting[:body], *after])
            del waiting[:body]


def packed(texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> Tensor:
    """All windows of `pack`, `(windows, length)`.

    Raises:
        RetortError: the texts do not fill a single window.
    """
    windows = list(pack(texts, tokenizer, length, frame))
    if not windows:
        raise RetortError(
            f"The training text has fewer than {length} tokens, so it fills no window.",
            "Choose a longer text or split, or shorter windows.",
        )
    return torch.stack(windows)


class Stream:
    """Packed windows of a text that is read as it is needed. Sequences can only be asked for in rising order."""

    count = None

    def __init__(self, texts: Iterable[str], tokenizer: Any, length: int, frame: Frame | None = None) -> None:
        self._windows = enumerate(pack(texts, tokenizer, length, frame))

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        """Reads on up to the asked windows (skipping what a resumed run has already learned from).

        Raises:
            RetortError: the text ends before.
        """
        rows = [self._advance(i) for i in indices]
        ids = torch.stack(rows)
        everything = torch.ones_like(ids, dtype=torch.bool)
        return causal_batch(ids, everything, everything, torch.tensor(indices))

    def _advance(self, wanted: int) -> Tensor:
        for number, window in self._windows:
            if number == wanted:
                return window
        raise RetortError(
            "The streamed text ended before the training did.",
            "Train for fewer steps, choose a longer text, or turn streaming off so that it is read again.",
        )


def conversation(
    messages: Sequence[Message], tokenizer: Any, length: int, count_prompt: bool = False
) -> tuple[Tensor, Tensor]:
    """One conversation as `(ids, counted)`, both `(tokens,)`: only what the assistant says counts.

    The tokenizer's own chat template is used; without one, the messages follow each other, each answer
    closed by the end-of-text token. Longer conversations are cut at `length`.

    Raises:
        RetortError: the template rewrites earlier turns, so that the answer cannot be told apart.
    """
    render = _templated if getattr(tokenizer, "chat_template", None) else _plain
    ids: list[int] = []
    counted: list[bool] = []
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = render(messages[:i], tokenizer, True), render(messages[: i + 1], tokenizer, False)
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


def _templated(messages: Sequence[Message], tokenizer: Any, prompted: bool) -> list[int]:
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompted)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _plain(messages: Sequence[Message], tokenizer: Any, prompted: bool) -> list[int]:
    ids: list[int] = []
    for message in messages:
        ids += tokenizer(message["content"], add_special_tokens=False)["input_ids"]
        if message["role"] == "assistant" and tokenizer.eos_token_id is not None:
            ids.append(int(tokenizer.eos_token_id))
    return ids


def _answer_end(answer: Sequence[int], tokenizer: Any) -> int:
    """Tokens of `answer` up to its last special token: a template's line break after it is not the model's to say."""
    special = set(tokenizer.all_special_ids)
    last = [i for i, token in enumerate(answer) if token in special]
    return last[-1] + 1 if last else len(answer)


def conversations(
    rows: Iterable[Sequence[Message]], tokenizer: Any, length: int, count_prompt: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Every conversation with at least one token that counts within `length`.

    Raises:
        RetortError: there is none.
    """
    found = [conversation(row, tokenizer, length, count_prompt) for row in rows]
    kept = [(ids, counted) for ids, counted in found if bool(counted[1:].any())]
    if not kept:
        raise RetortError(
            "No conversation has an answer that counts within the asked length.",
            "Check the prompt and answer columns, or allow longer sequences.",
        )
    return kept


def overlay(tokenizer: Any, ids: Tensor, counted: Tensor) -> list[tuple[str, bool]]:
    """`(text of the token, whether it counts)` for each token of one sequence: what a page marks."""
    flags = (counted & (torch.arange(len(counted)) > 0)).tolist()  # nothing predicts the first token
    return [(tokenizer.decode([token]), flag) for token, flag in zip(ids.tolist(), flags, strict=True)]


def labelled(
    texts: Sequence[str], labels: Sequence[str], names: Sequence[str], tokenizer: Any, length: int,
    padding: int | None = None,
) -> Labelled:  # fmt: skip
    """Texts with their classes; `names` are the model's classes in order, `padding` the token it fills up with.

    Raises:
        RetortError: no example, or a label the model does not know.
    """
    known = {name: i for i, name in enumerate(names)}
    unknown = sorted({label for label in labels if label not in known})
    if unknown or not texts:
        raise RetortError(
            f"The model does not know these labels: {', '.join(unknown[:5])}." if unknown else "The data is empty.",
            f"Use the model's labels: {', '.join(names)}.",
        )
    rows = tokenizer(list(texts), truncation=True, max_length=length)["input_ids"]
    wanted = torch.tensor([known[label] for label in labels])
    return Labelled([torch.tensor(row) for row in rows], wanted, padding or 0)
