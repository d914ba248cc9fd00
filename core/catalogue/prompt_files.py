"""Lists of prompts of the user's own: typed, or out of a file that a browser hands over."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from core.base import json_io
from core.base.errors import RetortError
from core.base.text import is_whole, one_line
from core.registry.prompts import MOST_PROMPTS

LONGEST = 2_000
"""Characters of one prompt."""
FILE_BYTES = 256_000
ENDINGS = (".txt", ".jsonl", ".csv")
_FORMS = "Choose a .txt file with a prompt on each line, or a .jsonl or .csv file with a 'prompt' column."


def typed(text: str) -> tuple[str, ...]:
    """The prompts of a text, one on each line; empty lines and repetitions are left out.

    Raises:
        RetortError: none, too many, or one that is too long.
    """
    if len(text.encode(errors="replace")) > FILE_BYTES:
        raise RetortError(f"The list is larger than {FILE_BYTES // 1000} kB.", "Leave some prompts out.")
    return _checked(text.splitlines(), "Type a prompt on each line.")


def read(name: str, raw: bytes) -> tuple[str, ...]:
    """The prompts of a file; `name` tells its form.

    Raises:
        RetortError: another form, not UTF-8, too large, without a prompt, or a line that is none; the line is named.
    """
    shown = one_line(name, 80)
    ending = next((e for e in ENDINGS if name.lower().endswith(e)), None)
    if ending is None:
        raise RetortError(f"'{shown}' is no list of prompts that can be read here.", _FORMS)
    if len(raw) > FILE_BYTES:
        refuse_large(name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RetortError(f"Line {line} of '{shown}' is not UTF-8 text.", "Save the file as UTF-8.") from error
    readers: dict[str, Callable[[str], Iterable[str]]] = {
        ".txt": str.splitlines,
        ".jsonl": _json_lines,
        ".csv": _column,
    }
    return _checked(readers[ending](text), _FORMS)


def refuse_large(name: str) -> NoReturn:
    """Raises RetortError: a file of this name is too large, whatever is in it."""
    raise RetortError(
        f"'{one_line(name, 80)}' is larger than {FILE_BYTES // 1000} kB.", "Choose a shorter list of prompts."
    )


def _json_lines(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found: Any = json_io.load(line.encode())
        except ValueError as error:
            raise RetortError(f"Line {number} is no JSON.", 'Write each line as {"prompt": "..."}.') from error
        prompt = found.get("prompt") if isinstance(found, dict) else None
        if not isinstance(prompt, str):
            raise RetortError(f"Line {number} has no text under 'prompt'.", 'Write each line as {"prompt": "..."}.')
        yield prompt


def _column(text: str) -> Iterator[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if "prompt" not in (rows.fieldnames or ()):
            raise RetortError("The table has no column 'prompt'.", "Name the column with the prompts 'prompt'.")
        for row in rows:
            yield row["prompt"] or ""
    except csv.Error as error:
        raise RetortError(
            f"The table cannot be read beyond line {rows.line_num}.", "Save it as comma-separated values again."
        ) from error


def _checked(prompts: Iterable[str], remedy: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, prompt in enumerate((p.rstrip() for p in prompts), start=1):
        if not prompt:
            continue
        if len(prompt) > LONGEST:
            raise RetortError(
                f"Prompt {number} has {len(prompt):,} characters, and at most {LONGEST:,} are taken.", "Shorten it."
            )
        if not is_whole(prompt):
            raise RetortError(f"Prompt {number} holds half a character.", "Save the list as UTF-8 text.")
        found[prompt] = None
        if len(found) > MOST_PROMPTS:
            raise RetortError(f"The list has more than {MOST_PROMPTS} prompts.", "Leave some out.")
    if not found:
        raise RetortError("There is no prompt in the list.", remedy)
    return tuple(found)
