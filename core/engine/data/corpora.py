"""Texts by reference: the sample corpus, files of your own, or a hub data set, as a list of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.base.text import one_line, whole
from core.catalogue.samples import refuse_unfetched
from core.catalogue.wiki import read_part
from core.data.columns import meaning_of
from core.data.conversations import conversation_of
from core.data.labelled import one_text
from core.data.left_out import NO_CONVERSATION, NO_TEXT, TORN, UNTEMPLATED, LeftOut
from core.data.rows import Row, Rows
from core.data.tables import open_data, plain_text
from core.engine.data.chat import Refused, as_text
from core.engine.data.hub_rows import hub_rows
from core.recipe.parts import Columns
from core.recipe.recipe import Corpus
from core.registry.samples import SAMPLES, TEXT_PARTS

Say = Callable[[str], None]


def load_texts(
    corpus: Corpus, settings: Settings, actor: Actor, tokenizer: Any = None, say: Say = lambda text: None
) -> list[str]:
    """The documents of a corpus, in its order, without empty ones.

    Args:
        tokenizer: of the model that reads them: conversations go through its chat template.
        say: told, in a sentence each, which columns were read and what was left out.

    Raises:
        RetortError: unknown reference, split, file or column; nothing to read; no network.
    """
    kind, _, name = corpus.data.partition(":")
    if kind == "sample":
        texts = _sample(name, corpus.split, settings)
    elif kind in ("path", "hub"):
        rows = open_rows(corpus.data, corpus.split, settings, actor)
        texts = list(texts_of(rows, corpus.mapping, tokenizer, say))
    else:
        raise RetortError(
            f"'{one_line(corpus.data, 200)}' is no data reference.",
            "Write sample:wiki, path:/folder/file.txt (or .csv, .jsonl, .parquet) or hub:org/name@revision.",
        )
    texts = [whole(text) for text in texts if text.strip()]
    if not texts:
        raise RetortError(f"{one_line(corpus.data, 200)} holds no text.", "Choose another file, split or column.")
    return texts


def open_rows(data: str, split: str | None, settings: Settings, actor: Actor, streaming: bool = False) -> Rows:
    """The rows of files of your own or of a hub data set.

    Args:
        split: of a hub data set.
        streaming: a hub data set is read as it is asked for, and nothing of it is copied to the disk.

    Raises:
        RetortError: no such data, or the hub cannot be reached.
    """
    kind, _, name = data.partition(":")
    if kind == "path":
        return open_data(name, settings)
    if kind == "hub":
        return hub_rows(name, split, settings, actor, streaming)
    raise RetortError(
        f"'{one_line(data, 200)}' has no rows to read.", "Write path:/folder/file.jsonl or hub:org/name@revision."
    )


def texts_of(rows: Rows, given: Columns, tokenizer: Any, say: Say) -> Iterator[str]:
    """Every row as running text: its text, or its conversation as the model's chat template writes it.

    Raises:
        RetortError: no column is the text, a row holds something else than text, or the file is damaged.
    """
    meaning = meaning_of(rows, given, "text")
    if meaning.note:
        say(meaning.note)
    left = LeftOut()
    for row in rows.read():
        left.total += 1
        if row.torn:
            left.add(row, TORN)
            continue
        if meaning.columns.text is not None:
            text = one_text(row, meaning.columns.text)
            if not text.strip():
                _count_empty(left, row, rows)
                continue
        else:
            text = _written(row, meaning.columns, tokenizer, left)
        yield text
    left.refuse_many()
    for sentence in left.sentences:
        say(sentence)


def _count_empty(left: LeftOut, row: Row, rows: Rows) -> None:
    if plain_text(rows):
        left.total -= 1  # what stands between empty lines is no row
    else:
        left.add(row, NO_TEXT)


def _written(row: Row, columns: Columns, tokenizer: Any, left: LeftOut) -> str:
    conversation = conversation_of(row, columns)
    if not conversation:
        left.add(row, NO_CONVERSATION)
        return ""
    try:
        return as_text(conversation, tokenizer)
    except Refused as refusal:
        left.add(row, UNTEMPLATED, str(refusal))
        return ""


def _sample(name: str, split: str | None, settings: Settings) -> list[str]:
    wanted = SAMPLES.get(name)
    if wanted is None or wanted.kind != "text":
        known = ", ".join(f"sample:{s.id}" for s in SAMPLES.values() if s.kind == "text")
        raise RetortError(
            f"There is no sample text called '{one_line(name, 60)}'.", f"Choose {known}, or a file of your own."
        )
    if split not in TEXT_PARTS:
        raise RetortError(
            f"sample:{name} has no part called '{one_line(str(split), 60)}'.", f"Choose one of {', '.join(TEXT_PARTS)}."
        )
    refuse_unfetched(wanted, settings)
    return read_part(wanted.folder(settings), split)
