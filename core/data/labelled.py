"""Texts with their labels out of rows: never a class that is none, and everything left out is counted and said."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from core.base.errors import RetortError
from core.base.text import one_line, whole
from core.data.columns import meaning_of
from core.data.left_out import NO_LABEL, NO_TEXT, TORN, LeftOut
from core.data.rows import Row, Rows
from core.recipe.parts import Columns

_WHOLE = re.compile(r"(-?\d+)\.0+")


@dataclass(frozen=True)
class LabelledRows:
    """Texts with the labels that stand beside them.

    Attributes:
        order: the classes in the data set's own order, where it names them.
        pairs: the second text of each, where a column holds one.
        notes: which columns were read, and what was left out.
    """

    texts: list[tuple[str, str]]
    order: list[str] | None
    pairs: list[str] | None
    notes: list[str]
    columns: Columns


def plain_label(label: str) -> str:
    """A number that a table made a fraction of is the whole number again: '1.0' is '1'."""
    found = _WHOLE.fullmatch(label)
    return ("0" if found[1] == "-0" else found[1]) if found else label


def labelled_rows(rows: Rows, given: Columns) -> LabelledRows:
    """Every row with a text and a label.

    Raises:
        RetortError: a column is missing or could be several, a label is a list, or no row has both.
    """
    meaning = meaning_of(rows, given, "labels")
    columns = meaning.columns
    assert columns.text is not None and columns.label is not None
    order = rows.classes.get(columns.label)
    left = LeftOut()
    texts: list[tuple[str, str]] = []
    pairs: list[str] = []
    for row in rows.read():
        left.total += 1
        text = one_text(row, columns.text).strip()
        pair = one_text(row, columns.text_pair).strip() if columns.text_pair else ""
        label = _label(row, columns.label, order)
        if row.torn:
            left.add(row, TORN)
        elif label is None:
            left.add(row, NO_LABEL)
        elif not text or (columns.text_pair and not pair):
            left.add(row, NO_TEXT)
        else:
            texts.append((text, label))
            pairs.append(pair)
    left.refuse_many()
    if not texts:
        raise RetortError(
            f"{rows.where} holds no row with both a text ('{one_line(columns.text, 60)}') and a label "
            f"('{one_line(columns.label, 60)}').",
            "Name the right columns in 'columns', or give each text a label.",
        )
    notes = [n for n in (meaning.note, *left.sentences) if n]
    return LabelledRows(texts, list(order) if order else None, pairs if columns.text_pair else None, notes, columns)


def one_text(row: Row, column: str) -> str:
    """The text in a column; '' for nothing. Raises RetortError for a list or an object."""
    value = row.values.get(column)
    if isinstance(value, list | dict | bytes):
        raise RetortError(
            f"'{one_line(column, 60)}' in {row.place} is no text but a {type(value).__name__}.",
            "Name the column with the text in 'columns', or, for conversations, columns: {messages: NAME}.",
        )
    return "" if value is None or _no_number(value) else whole(str(value))


def _label(row: Row, column: str, order: tuple[str, ...] | None) -> str | None:
    """The label as text; None where there is none: nothing, an empty text, NaN, or -1 where numbers have names."""
    value = row.values.get(column)
    if value is None or _no_number(value):
        return None
    if isinstance(value, list | dict | bytes):
        raise RetortError(
            f"'{one_line(column, 60)}' in {row.place} is no single label but a {type(value).__name__}.",
            "Give each text one label: of several at once, how often a model is right is not measured here.",
        )
    if order and isinstance(value, int) and not isinstance(value, bool):
        return order[value] if 0 <= value < len(order) else None
    return plain_label(whole(str(value)).strip()) or None


def _no_number(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
