"""Texts by reference: the sample corpus, local files, or a hub data set, as a list of documents."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.catalogue.checks import inside_roots
from core.catalogue.hub import dataset_commit
from core.catalogue.samples import SAMPLES, is_fetched
from core.catalogue.wiki import PARTS, read_part
from core.errors import RetortError
from core.recipes import Corpus
from core.settings import Settings

_COLUMN = "text"


def load_texts(corpus: Corpus, settings: Settings) -> list[str]:
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
        texts = _hub(name, corpus.split, corpus.column)
    else:
        raise RetortError(
            f"'{corpus.data}' is no data reference.",
            "Write sample:wiki, path:/folder/file.txt (or .csv, .jsonl, .parquet) or hub:org/name@revision.",
        )
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise RetortError(f"{corpus.data} holds no text.", "Choose another file, split or column.")
    return texts


def _sample(name: str, split: str | None, settings: Settings) -> list[str]:
    wanted = SAMPLES.get(name)
    if wanted is None or wanted.kind != "text":
        known = ", ".join(f"sample:{s.id}" for s in SAMPLES.values() if s.kind == "text")
        raise RetortError(f"There is no sample text called '{name}'.", f"Choose {known}, or a file of your own.")
    if split not in PARTS:
        raise RetortError(f"sample:{name} has no part called '{split}'.", f"Choose one of {', '.join(PARTS)}.")
    if not is_fetched(wanted, settings):
        raise RetortError(
            f"sample:{name} has not been fetched yet.", f"Run 'python -m core fetch {name}', then try again."
        )
    return read_part(wanted.folder(settings), split)


def _file(path: Path, column: str | None) -> list[str]:
    readers = {".txt": _text, ".raw": _text, ".md": _text, ".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise RetortError(f"'{path}' is no text file Retort reads.", "Use .txt, .csv, .jsonl or .parquet.")
    try:
        return reader(path, column)
    except (OSError, ValueError, csv.Error) as error:
        raise RetortError(f"{path.name} cannot be read ({error}).", "Check that it is whole and in UTF-8.") from error


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
        return [_string(value) for value in file.read(columns=[name])[name].to_pylist()]


def _choose(column: str | None, names: Iterable[str], where: str) -> str:
    """The column asked for, or 'text', or the only one. Raises RetortError where that is not there."""
    known = list(names)
    wanted = column or (_COLUMN if _COLUMN in known or len(known) != 1 else known[0])
    if wanted not in known:
        shown = ", ".join(known[:20]) or "none"
        raise RetortError(f"{where} has no column '{wanted}' (it has: {shown}).", "Name the text column in 'column'.")
    return wanted


def _string(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _hub(name: str, split: str | None, column: str | None) -> list[str]:
    found = load_hub_rows(name, split)
    chosen = _choose(column, found.column_names, f"hub:{name}")
    return [_string(value) for value in found[chosen]]


def load_hub_rows(name: str, split: str | None) -> Any:
    """A split of a hub data set, as `datasets` gives it (an iterable of rows with `column_names`).

    `name` is `org/name` or `org/name/configuration`, with `@revision`. It is pinned to a commit; the local
    cache serves where the hub cannot be reached.

    Raises:
        RetortError: no such data set or split, or no network and no local copy.
    """
    import datasets

    repository, _, revision = name.partition("@")
    parts = repository.split("/")
    path, configuration = "/".join(parts[:2]), "/".join(parts[2:]) or None
    where = f"hub:{name}"
    commit = dataset_commit(path, revision or None)
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or commit is None  # no minutes of retries where the hub just did not answer
    try:
        return datasets.load_dataset(path, configuration, split=split or "train", revision=commit or revision or None)
    except (OSError, datasets.exceptions.DatasetNotFoundError) as error:
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
