"""Questions with options, or with an answer to write, out of rows: their columns, and which option is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.base.errors import RetortError
from core.base.text import one_line, whole
from core.data.columns import missing
from core.data.labelled import one_text, plain_label
from core.data.left_out import TORN, LeftOut
from core.data.question_columns import QuestionColumns, question_columns
from core.data.rows import Row, Rows
from core.recipe.own_tasks import AnswerForm, OwnTask, TaskColumns, TaskKind

NO_QUESTION, NO_ANSWER, FEW_OPTIONS = "no question", "no answer", "fewer than two options"
EMPTY_OPTION = "an empty option before others"
_MARKS = ("|", "\n", ";")
"""What may stand between options in one cell of text."""
_SAYS: Mapping[AnswerForm, str] = {
    "text": "the text of the right option",
    "letter": "its letter",
    "index": "its place counted from 0",
    "number": "its place counted from 1",
}


@dataclass(frozen=True)
class Question:
    """One question. Of a choice: `options` and the index of the right one; of a written answer: what is right."""

    text: str
    options: tuple[str, ...] = ()
    gold: int = 0
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Questions:
    """What a file asks. `notes`: which columns were read, how the right option is named, and what was left out."""

    kind: TaskKind
    rows: tuple[Question, ...]
    notes: tuple[str, ...]


def questions_of(rows: Rows, task: OwnTask) -> Questions:
    """Every question of the rows, in their order.

    Raises:
        RetortError: a column is missing or could be several; no option is the right one, or which is cannot be told.
    """
    return questions(rows, task.mapping, task.kind, task.answers)


def questions(
    rows: Rows, given: TaskColumns, kind: TaskKind | None = None, form: AnswerForm | None = None
) -> Questions:
    """As `questions_of`, of columns alone: `kind` None is told from whether there are options."""
    found = question_columns(rows, given, kind)
    left = LeftOut()
    read: list[tuple[Row, Question, object]] = []
    for row in rows.read():
        left.total += 1
        one, why = _question(row, found)
        if one is None:
            left.add(row, why)
        else:
            read.append((row, one, row.values.get(found.answer)))
    left.refuse_many()
    if not read:
        raise missing(rows, "no row with both a question and its answer", "Name the right columns in 'columns'.")
    notes = [found.note, *left.sentences]
    if found.kind == "written":
        return Questions("written", tuple(q for _, q, _ in read), tuple(n for n in notes if n))
    gold, how = _right_options(rows, read, form)
    chosen = tuple(Question(q.text, q.options, g) for (_, q, _), g in zip(read, gold, strict=True))
    said = "" if form else f"The right option was read as {_SAYS[how]}."
    return Questions("choice", chosen, tuple(n for n in (*notes, said) if n))


def left_to_ask(found: Questions, task: OwnTask, items: int | None) -> tuple[Question, ...]:
    """The first `items` questions (None: all) after the task's examples.

    Raises:
        RetortError: fewer than two are left, so that nothing can be counted.
    """
    left = found.rows[task.shots :][:items]
    if len(left) < 2:
        raise RetortError(
            f"{one_line(task.data, 200)} holds {len(found.rows):,} questions, of which the first {task.shots} serve as "
            f"examples: {'one is' if left else 'none is'} left to ask.",
            "Use more questions, or fewer 'shots'.",
        )
    return left


def _question(row: Row, columns: QuestionColumns) -> tuple[Question | None, str]:
    """The question without its right option, or None and what the row lacks."""
    text = one_text(row, columns.question).strip()
    if row.torn:
        return None, TORN
    if not text:
        return None, NO_QUESTION
    answers = _answers(row.values.get(columns.answer))
    if not answers:
        return None, NO_ANSWER
    if columns.kind == "written":
        return Question(text, answers=answers), ""
    options = _options(row, columns.options)
    if "" in options:  # without it the letters and places of those behind it would name others
        return None, EMPTY_OPTION
    return (Question(text, options), "") if len(options) > 1 else (None, FEW_OPTIONS)


def _answers(value: object) -> tuple[str, ...]:
    """What counts as right: one text, or every text of a list."""
    values = value if isinstance(value, list) else [value]
    return tuple(t for v in values if (t := _cell(v)))


def _cell(value: object) -> str:
    if value is None or isinstance(value, list | dict | bytes) or value != value:
        return ""
    return plain_label(whole(str(value)).strip())


def _options(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """Every option in its place; empty ones at the end, as a table has them that serves several numbers, are none."""
    found = _cells(row, columns)
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def _cells(row: Row, columns: Sequence[str]) -> list[str]:
    if len(columns) > 1:
        return [_cell(row.values.get(c)) for c in columns]
    value = _parsed(row.values.get(columns[0]))
    if isinstance(value, dict):  # as ARC has it: texts, and letters beside them
        value = value.get("text", list(value.values()))
    if isinstance(value, list):
        return [_cell(v) for v in value]
    text = _cell(value)
    mark = next((m for m in _MARKS if m in text), None)
    return [p.strip() for p in text.split(mark)] if mark else [text]


def _parsed(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            found: object = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found
    return value


def _right_options(
    rows: Rows, read: Sequence[tuple[Row, Question, object]], form: AnswerForm | None
) -> tuple[list[int], AnswerForm]:
    """The index of every right option under the one reading that fits all rows, and that reading."""
    tried: list[AnswerForm] = [form] if form else ["text", "letter", "index", "number"]
    fits: dict[AnswerForm, list[int]] = {}
    for one in tried:
        found = [_READINGS[one](_cell(value), question.options) for _, question, value in read]
        golds = [gold for gold in found if gold is not None]
        if len(golds) == len(found):
            fits[one] = golds
    if not fits:
        raise _unmatched(rows, read, tried)
    first = next(iter(fits))
    if first != "text" and any(golds != fits[first] for golds in fits.values()):
        raise RetortError(
            f"Whether the right options of {rows.where} are counted from 0 or from 1 cannot be told: both would fit.",
            "Say it in the recipe: answers: index (from 0) or answers: number (from 1).",
        )
    return fits[first], first


def _unmatched(rows: Rows, read: Sequence[tuple[Row, Question, object]], tried: Sequence[AnswerForm]) -> RetortError:
    """Names the first row of the reading that fits the most."""
    most = max(tried, key=lambda form: sum(_READINGS[form](_cell(v), q.options) is not None for _, q, v in read))
    row, question, value = next(r for r in read if _READINGS[most](_cell(r[2]), r[1].options) is None)
    listed = one_line("; ".join(question.options), 200)
    return RetortError(
        f"{rows.where}: '{one_line(_cell(value), 60)}' in {row.place} names none of the options ({listed}) as "
        f"{_SAYS[most]}.",
        "Correct the row. A right option is named by its text, its letter, or its place, in one way in all rows.",
    )


def _by_text(answer: str, options: Sequence[str]) -> int | None:
    same = [i for i, option in enumerate(options) if option == answer]
    return same[0] if len(same) == 1 else None


def _by_letter(answer: str, options: Sequence[str]) -> int | None:
    letter = answer.strip("().: ").upper()
    index = ord(letter) - ord("A") if len(letter) == 1 else -1
    return index if 0 <= index < len(options) else None


def _by_place(first: int) -> Callable[[str, Sequence[str]], int | None]:
    def place(answer: str, options: Sequence[str]) -> int | None:
        number = int(answer) - first if answer.isascii() and answer.isdecimal() and len(answer) < 4 else -1
        return number if 0 <= number < len(options) else None

    return place


_READINGS: Mapping[AnswerForm, Callable[[str, Sequence[str]], int | None]] = {
    "text": _by_text,
    "letter": _by_letter,
    "index": _by_place(0),
    "number": _by_place(1),
}
