"""Conversations and labelled texts as token sequences.

Of a conversation only the answers count, as the model's own chat template has them.

Messages reach the template unchanged: text, lists of parts, tool calls. What it cannot take is found out before
training, said in its own words, counted, and refused beyond a small share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

from core.base.errors import RetortError
from core.base.text import one_line
from core.engine.distil.batches import LabelledExamples

Message = Mapping[str, Any]
Say = Callable[[str], None]
MOST_REFUSED = 0.1
"""The share of conversations a template may refuse; beyond it, the data is not what the model was made for."""


class _Refused(Exception):
    """One conversation cannot be put into words as the model knows them."""


class Conversation(list[Message]):
    """Messages as `apply_chat_template` takes them, and the tools the model may call, where the data names them."""

    def __init__(self, messages: Iterable[Message], tools: Sequence[Any] = ()) -> None:
        super().__init__(messages)
        self.tools = list(tools)


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
        except _Refused as refusal:
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
    render = _templated if getattr(tokenizer, "chat_template", None) else _plain
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


def _templated(messages: Sequence[Message], count: int, tokenizer: Any, prompted: bool) -> list[int]:
    tools = getattr(messages, "tools", [])
    text = _text([_whole(m) for m in messages[:count]], tools, tokenizer, prompted)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _text(messages: list[dict[str, Any]], tools: list[Any], tokenizer: Any, prompted: bool) -> str:
    """What the template makes of the messages, in a form that it understands.

    Many templates know text only: of a list of parts they would print Python's notation, of no content the word
    'None'. Those get the parts' text, and no text.
    """
    parts = [m["content"] for m in messages if isinstance(m["content"], list)]
    try:
        text = _applied(messages, tools, tokenizer, prompted)
        knows_parts = not any(str(p) in text for p in parts)
    except _Refused:
        if not parts:
            raise
        knows_parts = False
    if not knows_parts:
        messages = [{**m, "content": _joined(m["content"])} for m in messages]
        text = _applied(messages, tools, tokenizer, prompted)
    if any(m["content"] is None for m in messages):
        silent = _applied([{**m, "content": m["content"] or ""} for m in messages], tools, tokenizer, prompted)
        text = silent if silent.count("None") < text.count("None") else text
    _refuse_silent_tools(messages, text, tools, tokenizer)
    return text


def _applied(messages: list[dict[str, Any]], tools: list[Any], tokenizer: Any, prompted: bool) -> str:
    more = {"tools": tools} if tools else {}
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompted, **more)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        words = one_line(str(error), 200).rstrip(".")
        raise _Refused(f"the model's template says '{words}'") from error
    return str(text)


def _whole(message: Message) -> dict[str, Any]:
    """A message without the empty fields that a table fills in where other rows have them."""
    if not isinstance(message.get("role"), str):
        raise _Refused("a message has no role")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise _Refused(f"the content of a message is neither text nor a list of parts but {type(content).__name__}")
    kept = {k: v for k, v in message.items() if v is not None and not (k == "tool_calls" and not v)}
    return {**kept, "content": content}


def _joined(content: str | list[Any] | None) -> str | None:
    if not isinstance(content, list):
        return content
    texts = [p if isinstance(p, str) else p.get("text") if isinstance(p, Mapping) else None for p in content]
    if not all(isinstance(t, str) for t in texts):
        kinds = sorted({str(p.get("type")) for p in content if isinstance(p, Mapping) and "text" not in p})
        raise _Refused(f"a message holds {', '.join(kinds) or 'parts'} that are no text")
    return "".join(str(t) for t in texts)


def _refuse_silent_tools(messages: list[dict[str, Any]], text: str, tools: list[Any], tokenizer: Any) -> None:
    """A call that the template leaves out would be an answer of nothing."""
    silent = [{k: v for k, v in m.items() if k != "tool_calls"} for m in messages]
    if silent != messages and text in (_applied(silent, tools, tokenizer, p) for p in (True, False)):
        raise _Refused("the model's template leaves out what an assistant calls ('tool_calls')")


def _plain(messages: Sequence[Message], count: int, tokenizer: Any, prompted: bool) -> list[int]:
    ids: list[int] = []
    for message in map(_whole, messages[:count]):
        if message.get("tool_calls"):
            raise _Refused("the model has no chat template, so it cannot be shown what an assistant calls")
        ids += tokenizer(_joined(message["content"]) or "", add_special_tokens=False)["input_ids"]
        if message["role"] == "assistant" and tokenizer.eos_token_id is not None:
            ids.append(int(tokenizer.eos_token_id))
    return ids


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
) -> LabelledExamples:
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
    return LabelledExamples([torch.tensor(row) for row in rows], wanted, padding or 0)
