"""Texts by reference: the sample corpus, local files, or a hub data set, as a list of documents."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor, may, not_here
from core.base.settings import Settings
from core.base.text import one_line, whole
from core.base.untrusted_files import reason
from core.catalogue.checks import inside_roots
from core.catalogue.hub import dataset_commit
from core.catalogue.samples import refuse_unfetched
from core.catalogue.wiki import read_part
from core.recipe.recipe import Corpus
from core.registry.formatting import show_bytes
from core.registry.samples import SAMPLES, TEXT_PARTS

_COLUMN = "text"
_MOST_BYTES = 4_000_000_000
"""Of a file, and of the texts in it: a small parquet file may unpack to any size."""
_ROWS = 256  # read from a parquet file at a time


UNREADABLE = (OSError, ValueError, csv.Error, RecursionError, TypeError, LookupError, NotImplementedError)
"""What the readers of csv, json and pyarrow raise over a damaged file; pyarrow's own errors are among them."""


def load_texts(corpus: Corpus, settings: Settings, actor: Actor) -> list[str]:
    """The documents of a corpus, in its order, without empty ones.

    Raises:
        RetortError: unknown reference, split, file or column; nothing to read; no network.
    """
    kind, _, name = corpus.data.partition(":")
    if kind == "sample":
        texts = _sample(name, corpus.split, settings)
    elif kind == "path":
        texts = _file(inside_roots(name, settings), corpus.column)
    elif kind == "hub":
        texts = _hub(name, corpus.split, corpus.column, settings, actor)
    else:
        raise RetortError(
            f"'{one_line(corpus.data, 200)}' is no data reference.",
            "Write sample:wiki, path:/folder/file.txt (or .csv, .jsonl, .parquet) or hub:org/name@revision.",
        )
    texts = [whole(text) for text in texts if text.strip()]
    if not texts:
        raise RetortError(f"{one_line(corpus.data, 200)} holds no text.", "Choose another file, split or column.")
    return texts


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


def _file(path: Path, column: str | None) -> list[str]:
    readers = {".txt": _text, ".raw": _text, ".md": _text, ".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise RetortError(f"'{path}' is no text file Retort reads.", "Use .txt, .csv, .jsonl or .parquet.")
    if path.stat().st_size > _MOST_BYTES:
        raise RetortError(f"{path.name} is larger than {show_bytes(_MOST_BYTES)}.", "Use a part of it.")
    try:
        return reader(path, column)
    except UNREADABLE as error:
        raise RetortError(
            f"{path.name} cannot be read ({reason(error)}).", "Check that it is whole and in UTF-8."
        ) from error


def _text(path: Path, column: str | None) -> list[str]:
    """Documents are separated by empty lines; a line with only a space is text, as in WikiText's raw files."""
    return re.split(r"\n{2,}", path.read_text("utf-8-sig"))


def _csv(path: Path, column: str | None) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        name = _choose(column, reader.fieldnames or (), path.name)
        return [row[name] or "" for row in reader]


def _jsonl(path: Path, column: str | None) -> list[str]:
    texts: list[str] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is no JSON object")
                column = _choose(column, row, f"line {number} of {path.name}")
                texts.append(_string(row[column]))
    return texts


def _parquet(path: Path, column: str | None) -> list[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        name = _choose(column, file.schema_arrow.names, path.name)
        texts: list[str] = []
        left = _MOST_BYTES
        for batch in file.iter_batches(batch_size=_ROWS, columns=[name]):
            texts += [_string(value) for value in batch.column(0).to_pylist()]
            left -= sum(len(text) for text in texts[-batch.num_rows :])
            if left < 0:
                raise ValueError(f"its texts take more than {show_bytes(_MOST_BYTES)}")
        return texts


def _choose(column: str | None, names: Iterable[str], where: str) -> str:
    """The column asked for, or 'text', or the only one. Raises RetortError where that is not there."""
    known = list(names)
    wanted = column or (_COLUMN if _COLUMN in known or len(known) != 1 else known[0])
    if wanted not in known:
        shown = one_line(", ".join(map(str, known[:20])), 300) or "none"
        raise RetortError(
            f"{where} has no column '{one_line(str(wanted), 60)}' (it has: {shown}).",
            "Name the text column in 'column'.",
        )
    return wanted


def _string(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _hub(name: str, split: str | None, column: str | None, settings: Settings, actor: Actor) -> list[str]:
    found = load_hub_rows(name, split, settings, actor)
    chosen = _choose(column, found.column_names, f"hub:{name}")
    return [_string(value) for value in found[chosen]]


def load_hub_rows(name: str, split: str | None, settings: Settings, actor: Actor) -> Any:
    """A split of a hub data set, as `datasets` gives it (an iterable of rows with `column_names`).

    `name` is `org/name` or `org/name/configuration`, with `@revision`. It is pinned to a commit; the local
    cache serves where the hub cannot be reached.

    Raises:
        RetortError: no such data set or split, or no local copy and no network or no right to download.
    """
    import datasets

    repository, _, revision = name.partition("@")
    parts = repository.split("/")
    path, configuration = "/".join(parts[:2]), "/".join(parts[2:]) or None
    where = f"hub:{name}"
    allowed = may(actor, "fetch")
    commit = dataset_commit(path, revision or None, allowed)
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or commit is None  # no minutes of retries where the hub just did not answer
    try:
        return datasets.load_dataset(path, configuration, split=split or "train", revision=commit or revision or None)
    except (OSError, datasets.exceptions.DatasetNotFoundError) as error:
        if not allowed:
            raise not_here(where) from error
        raise RetortError(
            f"{where} could not be read: the hub could not be reached and there is no local copy.",
            "Check the network and try again, or use sample:wiki or a local file.",
        ) from error
    except (ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetortError(
            f"{where} cannot be read ({first}).", "Check its configuration, split and revision."
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
