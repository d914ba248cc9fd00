"""Which columns of a table hold questions, their options and the right answer? As said, or told by name, and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.base.text import one_line
from core.data.columns import missing, none_meant, refuse_unknown, say_which
from core.data.rows import Rows
from core.recipe.own_tasks import TaskColumns, TaskKind

_QUESTION = ("question", "query", "prompt", "problem", "input", "instruction", "question_stem", "stem", "goal", "text")
_OPTIONS = ("options", "choices", "endings", "candidates")
_ANSWER = (
    *("answer", "answers", "label", "gold", "correct", "correct_answer", "answer_key", "answerkey", "target", "key"),
    *("solution", "completion", "response", "output", "expected", "reference"),
)
_SERIES = ("{}", "option_{}", "option {}", "option{}", "choice_{}", "choice {}", "choice{}", "op{}", "ending{}")
"""How a column for each option may be called; {} is a letter from A, or a number from 0 or 1."""


@dataclass(frozen=True)
class QuestionColumns:
    """The columns that are read: `options` is one with lists, or one for each option. `note` says what was told."""

    kind: TaskKind
    question: str
    options: tuple[str, ...]
    answer: str
    note: str


def question_columns(rows: Rows, given: TaskColumns, kind: TaskKind | None) -> QuestionColumns:
    """The columns of questions; options are looked for unless answers are to be written.

    Raises:
        RetortError: a column that is named is not there, or none or several could be meant; the columns are listed.
    """
    for what, names in (("question", (given.question,)), ("options", given.options), ("answer", (given.answer,))):
        for name in names:
            refuse_unknown(rows, what, name)
    options = () if kind == "written" else given.options or _options(rows.columns)
    if kind == "choice" and not options:
        raise missing(
            rows,
            "no column that could be the options",
            "Say it in the recipe: columns: {options: [NAME]}, or one name for each option.",
        )
    question = given.question or _one(rows, "question", _QUESTION, options)
    answer = given.answer or _one(rows, "answer", _ANSWER, (*options, question))
    found: TaskKind = "choice" if options else "written"
    return QuestionColumns(found, question, options, answer, _note(rows, given, question, options, answer))


def _options(columns: Sequence[str]) -> tuple[str, ...]:
    by_name = {c.strip().lower(): c for c in columns}
    for usual in _OPTIONS:
        if usual in by_name:
            return (by_name[usual],)
    for form in _SERIES:
        for marks in ("abcdefghijklmnopqrstuvwxyz", "0123456789", "123456789"):
            found: list[str] = []
            for mark in marks:
                name = by_name.get(form.format(mark))
                if name is None:
                    break
                found.append(name)
            if len(found) > 1:
                return tuple(found)
    return ()


def _one(rows: Rows, what: str, usual: Sequence[str], besides: Sequence[str]) -> str:
    """The column with the surest name; several of equal names are refused."""
    for name in usual:
        found = [c for c in rows.columns if c.strip().lower() == name and c not in besides]
        if len(found) == 1:
            return found[0]
        if found:
            raise missing(rows, f"several columns called '{name}'", say_which(what))
    raise none_meant(rows, what, usual)


def _note(rows: Rows, given: TaskColumns, question: str, options: Sequence[str], answer: str) -> str:
    told = [] if given.question else [f"question from '{one_line(question, 60)}'"]
    if options and not given.options:
        listed = ", ".join(f"'{one_line(o, 40)}'" for o in options)
        told.append(f"options from {listed}")
    told += [] if given.answer else [f"answer from '{one_line(answer, 60)}'"]
    used = {question, answer, *options}
    others = one_line(", ".join(c for c in rows.columns if c not in used), 300)
    rest = f" Not read: {others}." if others else ""
    return f"Of {rows.where} the columns were told by their names: {', '.join(told)}.{rest}" if told else ""
