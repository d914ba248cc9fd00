"""Prompts and answers for training: local JSON lines, CSV and parquet files, and hub data sets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.catalogue.checks import inside_roots
from core.engine.data.corpora import load_hub_rows
from core.errors import RetortError
from core.settings import Settings

Conversation = list[dict[str, str]]
_ROLES = ("system", "user", "assistant")


def load_conversations(
    data: str, split: str | None, prompt: str, answer: str, settings: Settings
) -> list[Conversation]:
    """Conversations as lists of `{"role", "content"}`.

    A row either has a `messages` column in that form, or the columns `prompt` and `answer` name.

    Raises:
        RetortError: an unknown reference, a missing column, or a row of another shape.
    """
    kind, _, name = data.partition(":")
    if kind == "path":
        rows = _file(inside_roots(name, settings))
    elif kind == "hub":
        rows = load_hub_rows(name, split)
    else:
        raise RetortError(
            f"'{data}' holds plain texts and no conversations.", "Set 'form: text', or name a file of your own."
        )
    found = [_conversation(row, prompt, answer, number) for number, row in enumerate(rows, 1)]
    if not found:
        raise RetortError(f"There is not one conversation in '{data}'.", "Choose another file or split.")
    return found


def _file(path: Path) -> Iterable[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".jsonl":
            with path.open(encoding="utf-8-sig") as lines:
                return [json.loads(line) for line in lines if line.strip()]
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
            return rows
    except (OSError, ValueError, csv.Error) as error:
        raise RetortError(f"{path.name} cannot be read ({error}).", "Check that it is whole and in UTF-8.") from error
    raise RetortError(f"'{path.name}' is no file of conversations.", "Use .jsonl, .csv or .parquet.")


def _conversation(row: Any, prompt: str, answer: str, number: int) -> Conversation:
    if not isinstance(row, dict):
        raise RetortError(f"Row {number} is no object with columns.", "Give one object a line.")
    if "messages" in row:
        messages = row["messages"]
        if isinstance(messages, list) and all(_is_message(m) for m in messages):
            return [{"role": m["role"], "content": m["content"]} for m in messages]
        raise RetortError(
            f"The 'messages' of row {number} are not a list of roles and contents.",
            f"Give each message a 'role' ({', '.join(_ROLES)}) and a 'content'.",
        )
    missing = [column for column in (prompt, answer) if not isinstance(row.get(column), str)]
    if missing:
        raise RetortError(
            f"Row {number} has no text in '{missing[0]}' (it has: {', '.join(map(str, row))}).",
            "Name the columns with 'prompt' and 'answer'.",
        )
    return [{"role": "user", "content": row[prompt]}, {"role": "assistant", "content": row[answer]}]


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in _ROLES and isinstance(message.get("content"), str)
