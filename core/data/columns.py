"""What do the columns of a table mean? As the recipe says, or told from names and contents, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.base.errors import RetortError
from core.base.text import one_line
from core.data.rows import Row, Rows
from core.data.tables import FOLDER, plain_text
from core.recipe.parts import Columns

Use = Literal["text", "labels", "chat"]
"""What rows are read for: as running text, as texts with a class, or as questions with answers."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "text": (
        *("text", "sentence", "content", "document", "body", "review", "article", "utterance", "passage", "comment"),
        *("tweet", "sentence1", "text1", "premise", "question1", "code", "story", "abstract", "question", "query"),
    ),
    "text_pair": ("text_pair", "sentence2", "text2", "hypothesis", "question2"),
    "label": ("label", "category", "class", "intent", "labels", "target", "sentiment", "topic"),
    "messages": ("messages", "conversations", "conversation", "chat"),
    "prompt": ("prompt", "instruction", "question", "input", "query"),
    "completion": ("completion", "answer", "response", "output", "chosen"),
}
"""By meaning, the names that columns usually have; the surer first."""
_SURE = {"text": "text", "label": "label", "messages": "messages", "prompt": "prompt"}
"""Where several columns could be meant, a column of this name is."""
_FIRST_OF_TWO = ("sentence1", "text1", "premise", "question1")
_SHOWN = 20


@dataclass(frozen=True)
class Meaning:
    """The columns that are read, and in `note` how that was told, where it was."""

    columns: Columns
    note: str = ""


def meaning_of(rows: Rows, given: Columns, use: Use) -> Meaning:
    """What is read of the rows for a use: for `text` one of text, messages, or prompt and completion.

    Raises:
        RetortError: a column that is named is not there, or none or several could be meant; the columns are listed.
    """
    for what, name in given:
        refuse_unknown(rows, what, name)
    guess = _Guess(rows, given)
    found = {"text": guess.for_text, "labels": guess.for_labels, "chat": guess.for_chat}[use]()
    told = {what: name for what, name in found if name is not None and getattr(given, what) is None}
    return Meaning(found, "" if plain_text(rows) else _said(rows, told, found))


def refuse_unknown(rows: Rows, what: str, name: str | None) -> None:
    """Raises RetortError where the column named for `what` is not there."""
    if name is not None and name not in rows.columns:
        raise missing(rows, f"no column '{one_line(name, 60)}'", f"Correct '{what}' in 'columns'.")


def none_meant(rows: Rows, what: str, usual: Sequence[str]) -> RetortError:
    """The refusal of rows none of whose columns could be `what`; the first of the `usual` names are said."""
    listed = ", ".join(usual[:4])
    return missing(rows, f"no column that could be the {what}", f"{say_which(what)} Usual names are {listed}.")


def say_which(what: str) -> str:
    """What to do where a column cannot be told."""
    return f"Say which it is in the recipe: columns: {{{what}: NAME}}."


def missing(rows: Rows, what: str, remedy: str) -> RetortError:
    """The refusal of rows that lack something: with the columns there are, and what stood between them."""
    form = f" It was read as {rows.form}." if rows.form.startswith("CSV") else ""
    listed = one_line(", ".join(map(str, rows.columns[:_SHOWN])), 300) or "none"
    return RetortError(f"{rows.where} has {what} (it has: {listed}).{form}", remedy)


def _said(rows: Rows, told: Mapping[str, str], found: Columns) -> str:
    if not told or tuple(told.values()) == rows.columns == ("text",):
        return ""
    parts = [f"{what.replace('_', ' ')} from '{one_line(name, 60)}'" for what, name in told.items()]
    used = {name for _, name in found if name is not None}
    others = [one_line(name, 40) for name in rows.columns if name not in used]
    rest = f" Not read: {', '.join(others[:_SHOWN])}." if others else ""
    form = f" ({rows.form})" if rows.form.startswith("CSV") else ""
    return f"Of {rows.where}{form} the columns were told by their names: {', '.join(parts)}.{rest}"


def _columns(**names: str | None) -> Columns:
    """Columns as a file calls them: any text at all, where a recipe holds only what can be seen."""
    return Columns.model_construct(None, **names)


class _Guess:
    def __init__(self, rows: Rows, given: Columns) -> None:
        self.rows, self.given = rows, given
        self.by_name: dict[str, list[str]] = {}
        for name in rows.columns:
            self.by_name.setdefault(str(name).strip().lower(), []).append(name)

    def for_text(self) -> Columns:
        given = self.given
        if given.text is not None:
            return _columns(text=given.text)
        if given.messages is not None:
            return _columns(messages=given.messages)
        if given.prompt is not None or given.completion is not None:
            return self._turns()
        exact = self.by_name.get("text", [])
        if len(exact) == 1 and _are_text(self.rows.first, exact[0]):
            return _columns(text=exact[0])
        if (messages := self._messages()) is not None:
            return _columns(messages=messages)
        prompt, completion = self._named("prompt"), self._named("completion")
        if len(prompt) == 1 and len(completion) == 1:
            return _columns(prompt=prompt[0], completion=completion[0])
        return _columns(text=self._text())

    def for_chat(self) -> Columns:
        given = self.given
        if given.messages is not None:
            return _columns(messages=given.messages)
        if given.prompt is None and given.completion is None and (messages := self._messages()) is not None:
            return _columns(messages=messages)
        return self._turns()

    def for_labels(self) -> Columns:
        label = self.given.label or self._label()
        text = self.given.text or self._text(besides=(label,))
        pair = self.given.text_pair
        if pair is None and str(text).strip().lower() in _FIRST_OF_TWO:
            seconds = self._named("text_pair")
            pair = seconds[0] if len(seconds) == 1 else None
        return _columns(text=text, text_pair=pair, label=label)

    def _turns(self) -> Columns:
        prompt = self.given.prompt or self._one("prompt", ())
        return _columns(prompt=prompt, completion=self.given.completion or self._one("completion", (prompt,)))

    def _messages(self) -> str | None:
        found = [n for n in self._named("messages") if _are_messages(self.rows.first, n)]
        return found[0] if found else None

    def _label(self) -> str:
        if FOLDER in self.rows.columns and plain_text(self.rows):
            return FOLDER
        return self._one("label", ())

    def _text(self, besides: Sequence[str] = ()) -> str:
        left = [n for n in self.rows.columns if n not in besides]
        if len(left) == 1:
            return left[0]
        named = [n for n in self._named("text") if n not in besides and _are_text(self.rows.first, n)]
        words = [n for n in left if _are_text(self.rows.first, n) and " " in _longest(self.rows.first, n)]
        if not named and len(words) == 1:
            return words[0]
        return self._chosen("text", named, besides)

    def _one(self, what: str, besides: Sequence[str]) -> str:
        return self._chosen(what, [n for n in self._named(what) if n not in besides], besides)

    def _chosen(self, what: str, named: list[str], besides: Sequence[str]) -> str:
        if len(named) == 1:
            return named[0]
        sure = [n for n in named if n.strip().lower() == _SURE.get(what)]
        if len(sure) == 1:
            return sure[0]
        firsts = [n for n in named if n.strip().lower() in _FIRST_OF_TWO]
        if what == "text" and len(firsts) == 1 and len(self._named("text_pair")) == 1:
            return firsts[0]
        if named:
            several = " or ".join(f"'{one_line(n, 40)}'" for n in named[:5])
            raise missing(self.rows, f"several columns that could be the {what}, {several}", say_which(what))
        raise none_meant(self.rows, what, NAMES[what])

    def _named(self, what: str) -> list[str]:
        return [name for usual in NAMES[what] for name in self.by_name.get(usual, [])]


def _are_text(rows: Sequence[Row], column: str) -> bool:
    """Whether no value is a list or an object, and some value is text."""
    values = [v for row in rows if (v := row.values.get(column)) is not None]
    return not any(isinstance(v, list | dict | bytes) for v in values) and any(isinstance(v, str) for v in values)


def _longest(rows: Sequence[Row], column: str) -> str:
    return max((str(row.values.get(column) or "") for row in rows), key=len, default="")


def _are_messages(rows: Sequence[Row], column: str) -> bool:
    values = [v for row in rows if (v := row.values.get(column)) is not None]
    return any(isinstance(v, list) or isinstance(v, str) and v.lstrip().startswith("[") for v in values)
