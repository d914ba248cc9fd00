"""Conversations as a model's own chat template writes them.

Messages reach the template unchanged: text, lists of parts, tool calls. What it cannot take is said in its own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from core.base.text import one_line
from core.data.conversations import Conversation, Message


class Refused(Exception):
    """One conversation cannot be put into words as the model knows them."""


def as_text(conversation: Conversation, tokenizer: Any) -> str:
    """A whole conversation as running text: by the chat template, or, without one, answers closed by the end token.

    Raises:
        Refused: the template cannot take it.
    """
    messages = [_whole(m) for m in conversation]
    if getattr(tokenizer, "chat_template", None):
        return _text(messages, conversation.tools, tokenizer, False)
    if any(m.get("tool_calls") for m in messages):
        raise Refused("the model has no chat template, so it cannot be shown what an assistant calls")
    closed = getattr(tokenizer, "eos_token", None) or ""
    return "".join((_joined(m["content"]) or "") + (closed if m["role"] == "assistant" else "") for m in messages)


def templated_ids(messages: Sequence[Message], count: int, tokenizer: Any, prompted: bool) -> list[int]:
    """The ids of the first `count` messages as the model's chat template writes them.

    `prompted`: with what begins an answer. Raises Refused.
    """
    text = _text([_whole(m) for m in messages[:count]], getattr(messages, "tools", []), tokenizer, prompted)
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
    except Refused:
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
        raise Refused(f"the model's template says '{words}'") from error
    return str(text)


def _whole(message: Message) -> dict[str, Any]:
    """A message without the empty fields that a table fills in where other rows have them."""
    if not isinstance(message.get("role"), str):
        raise Refused("a message has no role")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise Refused(f"the content of a message is neither text nor a list of parts but {type(content).__name__}")
    kept = {k: v for k, v in message.items() if v is not None and not (k == "tool_calls" and not v)}
    return {**kept, "content": content}


def _joined(content: str | list[Any] | None) -> str | None:
    if not isinstance(content, list):
        return content
    texts = [p if isinstance(p, str) else p.get("text") if isinstance(p, Mapping) else None for p in content]
    if not all(isinstance(t, str) for t in texts):
        kinds = sorted({str(p.get("type")) for p in content if isinstance(p, Mapping) and "text" not in p})
        raise Refused(f"a message holds {', '.join(kinds) or 'parts'} that are no text")
    return "".join(str(t) for t in texts)


def _refuse_silent_tools(messages: list[dict[str, Any]], text: str, tools: list[Any], tokenizer: Any) -> None:
    """A call that the template leaves out would be an answer of nothing."""
    silent = [{k: v for k, v in m.items() if k != "tool_calls"} for m in messages]
    if silent != messages and text in (_applied(silent, tools, tokenizer, p) for p in (True, False)):
        raise Refused("the model's template leaves out what an assistant calls ('tool_calls')")


def plain_ids(messages: Sequence[Message], count: int, tokenizer: Any, prompted: bool) -> list[int]:
    """The ids of the first `count` messages for a model without a chat template: one after the other, each answer
    closed by the end-of-text token. Raises Refused."""
    ids: list[int] = []
    for message in map(_whole, messages[:count]):
        if message.get("tool_calls"):
            raise Refused("the model has no chat template, so it cannot be shown what an assistant calls")
        ids += tokenizer(_joined(message["content"]) or "", add_special_tokens=False)["input_ids"]
        if message["role"] == "assistant" and tokenizer.eos_token_id is not None:
            ids.append(int(tokenizer.eos_token_id))
    return ids
