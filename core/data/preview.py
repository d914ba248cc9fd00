"""A look at data before anything starts: the first rows, what their columns were taken for, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from core.base.errors import RetortError
from core.base.settings import Settings
from core.base.text import one_line
from core.data.columns import Use, meaning_of
from core.data.conversations import conversation_of
from core.data.labelled import labelled_rows
from core.data.left_out import NO_CONVERSATION, NO_TEXT, TORN, LeftOut
from core.data.question_columns import question_columns
from core.data.questions import questions
from core.data.rows import Row, Rows
from core.data.tables import open_data, plain_text
from core.recipe.own_tasks import TaskColumns
from core.recipe.parts import Columns

SHOWN_ROWS = 5
_CELL = 200
_USES: dict[Use, str] = {"labels": "texts with classes", "chat": "conversations", "text": "running text"}


@dataclass(frozen=True)
class Reading:
    """How the data is read for one use: the columns and how many rows serve, or why it cannot be."""

    use: str
    columns: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    notes: tuple[str, ...] = ()
    classes: tuple[tuple[str, int], ...] = ()
    """Classes with how many texts each has, the most frequent first."""
    obstacle: str = ""


@dataclass(frozen=True)
class Preview:
    """What `path:` data is. `rows` are the first ones, their cells shortened to one line."""

    where: str
    form: str
    files: int
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    count: int
    repeated: int
    """Rows that are equal to an earlier one."""
    readings: tuple[Reading, ...]


def preview(name: str, given: Columns, settings: Settings) -> Preview:
    """Reads all of `path:NAME` once for each use it could serve.

    Raises:
        RetortError: it cannot be read, or a column that is named is not there.
    """
    rows = open_data(name.removeprefix("path:"), settings)
    count, repeated, seen = 0, 0, set()
    for row in rows.read():
        count += 1
        key = hash(tuple(map(str, row.values.values())))
        repeated += key in seen
        seen.add(key)
    readings = [*(_reading(rows, given, use) for use in _USES), *_questions(rows)]
    if all(r.obstacle for r in readings):
        raise RetortError(readings[len(_USES) - 1].obstacle, "Name the columns: columns: {text: NAME}.")
    shown = tuple({c: _cell(row, c) for c in rows.columns} for row in rows.first[:SHOWN_ROWS])
    return Preview(rows.where, rows.form, rows.files, rows.columns, shown, count, repeated, tuple(readings))


def _cell(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else one_line(str(value), _CELL)


def _reading(rows: Rows, given: Columns, use: Use) -> Reading:
    try:
        meaning = meaning_of(rows, given, use)
        columns = {what: one_line(str(name), 80) for what, name in meaning.columns if name is not None}
        if use == "labels":
            found = labelled_rows(rows, given)
            classes = tuple(Counter(label for _, label in found.texts).most_common())
            notes = tuple(n for n in found.notes if n != meaning.note)
            return Reading(_USES[use], columns, len(found.texts), notes, classes)
        left = LeftOut()
        for row in rows.read():
            left.total += 1
            why = TORN if row.torn else _lacks(row, meaning.columns)
            if why and plain_text(rows):
                left.total -= 1
            elif why:
                left.add(row, why)
        left.refuse_many()
        return Reading(_USES[use], columns, left.total - sum(left.counts.values()), tuple(left.sentences))
    except RetortError as error:
        return Reading(_USES[use], obstacle=error.cause)


def _questions(rows: Rows) -> list[Reading]:
    """The rows as questions with their answers; nothing where they hold none, as most texts do."""
    try:
        found = questions(rows, TaskColumns())
        columns = question_columns(rows, TaskColumns(), found.kind)
    except RetortError:
        return []
    shown = {"question": columns.question, "options": ", ".join(columns.options), "answer": columns.answer}
    named = {what: one_line(name, 80) for what, name in shown.items() if name}
    use = "questions with options" if found.kind == "choice" else "questions with an answer to write"
    return [Reading(use, named, len(found.rows), tuple(n for n in found.notes if n != columns.note))]


def _lacks(row: Row, columns: Columns) -> str:
    if columns.text is not None:
        return "" if str(row.values.get(columns.text) or "").strip() else NO_TEXT
    return "" if conversation_of(row, columns) else NO_CONVERSATION
