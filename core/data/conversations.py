"""Conversations out of rows: messages as the chat templates of models take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from core.base.errors import RetortError
from core.base.text import whole
from core.data.rows import Row
from core.recipe.parts import Columns

Message = Mapping[str, object]
_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model", "bing", "bard"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
}
"""Who speaks in ShareGPT's form (`from`), and what chat templates call that."""


class Conversation(list[Message]):
    """Messages as `apply_chat_template` takes them, and the tools the model may call, where the data names them."""

    def __init__(self, messages: Iterable[Message], tools: Sequence[object] = ()) -> None:
        super().__init__(messages)
        self.tools = list(tools)


def conversation_of(row: Row, columns: Columns) -> Conversation | None:
    """The conversation of a row; None where it has none.

    Raises:
        RetortError: what stands there is no list of messages; the row is named.
    """
    if columns.messages is None:
        return _turn(row, str(columns.prompt), str(columns.completion))
    value = row.values.get(columns.messages)
    if isinstance(value, str) and value.strip():
        value = _parsed(value)
    if value is None or value == "" or value == []:
        return None
    if not isinstance(value, list) or not all(isinstance(m, Mapping) for m in value):
        raise RetortError(
            f"'{columns.messages}' in {row.place} is no list of messages.",
            'Write each conversation as a list such as [{"role": "user", "content": "..."}].',
        )
    tools = row.values.get("tools")
    return Conversation([_usual(m, row.place) for m in value], tools if isinstance(tools, list) else ())


def spoken(conversation: Conversation) -> list[str]:
    """The texts of the messages."""
    found: list[str] = []
    for message in conversation:
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text", "") if isinstance(part, Mapping) else part
            found += [whole(str(text))] if text is not None else []
    return found


def _turn(row: Row, prompt: str, completion: str) -> Conversation | None:
    values = [row.values.get(prompt), row.values.get(completion)]
    if any(value is None or not str(value).strip() for value in values):
        return None
    if any(isinstance(value, dict) for value in values):
        raise RetortError(
            f"'{prompt}' or '{completion}' in {row.place} holds an object, not text.",
            "Name other columns in 'columns', or write the text itself.",
        )
    asked, answered = values
    if isinstance(asked, list) and isinstance(answered, list):  # both as messages
        return Conversation([_usual(m, row.place) for m in [*asked, *answered]])
    return Conversation(
        [{"role": "user", "content": str(asked)}, {"role": "assistant", "content": str(answered)}],
    )


def _usual(message: object, place: str) -> Message:
    """A message with `role` and `content`, from ShareGPT's `from` and `value` too."""
    if not isinstance(message, Mapping):
        raise RetortError(
            f"A message in {place} is no object.", 'Write each message as {"role": "user", "content": "..."}.'
        )
    if "from" not in message or "role" in message:
        return message
    who = str(message["from"]).lower()
    if who not in _ROLES:
        raise RetortError(
            f"A message in {place} is from '{who[:40]}', and nobody knows whose part that is.",
            f"Write one of {', '.join(_ROLES)}.",
        )
    rest = {k: v for k, v in message.items() if k not in ("from", "value")}
    return {"role": _ROLES[who], "content": message.get("value"), **rest}


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
