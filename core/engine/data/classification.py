"""Labelled texts for classification: the Reuters and newsgroup samples, and two-column files of your own."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.settings import Settings
from core.base.text import one_line, whole
from core.base.untrusted_files import reason
from core.catalogue.checks import inside_roots
from core.catalogue.samples import refuse_unfetched
from core.engine.data.classes import classes_of, plain_label
from core.engine.data.corpora import UNREADABLE
from core.recipe.trial_keys import hashed
from core.registry.sample_types import Sample
from core.registry.samples import SAMPLES

LABEL_COLUMNS = ("label", "category", "class", "intent")
TEXT_COLUMNS = ("text", "sentence", "content", "question")
_SST2 = "glue/sst2/validation"


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with a class each: `labels[i]` is an index into `names`."""

    texts: list[str]
    labels: list[int]
    names: list[str]
    note: str = ""
    """What had to be assumed about the labels."""

    def first(self, count: int | None) -> LabelledTexts:
        """Only the first so many; None: all."""
        return replace(self, texts=self.texts[:count], labels=self.labels[:count])

    @property
    def digest(self) -> str:
        """Identifies texts and classes, whatever order a model counts the classes in: 16 hexadecimal digits."""
        return hashed([self.texts, [self.names[label] for label in self.labels]])[:16]


def load_labelled(
    data: str, settings: Settings, names: list[str] | None = None, given: Mapping[str, str] | None = None
) -> LabelledTexts:
    """Reads `sample:reuters-r8/train`, `sample:20newsgroups/test`, `sample:tasks/sst2` or `path:/file.csv|jsonl|tsv`.

    Args:
        names: the classes in the order a model knows them; default: sorted by name (or by number).
        given: which class a label stands for, where the two are called differently.
    Raises:
        RetortError: unknown reference, missing column, fewer than two classes, or a class not in `names`.
    """
    kind, _, name = data.partition(":")
    if kind == "sample":
        rows, order = _sample(name, settings)
    elif kind == "path":
        rows, order = _file(inside_roots(name, settings)), None
    else:
        raise RetortError(
            f"'{one_line(data, 200)}' is no labelled data.", "Write sample:reuters-r8/train or path:/folder/file.csv."
        )
    labels = [plain_label(label) for _, label in rows]
    found = classes_of(labels, names, given or {}, order, data)
    if len(found.names) < 2:
        raise RetortError(f"{one_line(data, 200)} has fewer than two classes.", "Check which column holds the label.")
    return LabelledTexts([text for text, _ in rows], [found.index[label] for label in labels], found.names, found.note)


def _sample(name: str, settings: Settings) -> tuple[list[tuple[str, str]], list[str] | None]:
    sample_id, _, part = name.partition("/")
    wanted = SAMPLES.get(sample_id)
    if wanted is None or wanted.kind not in ("classification", "tasks"):
        raise RetortError(
            f"There are no labelled samples called '{one_line(name, 60)}'.", "Try sample:reuters-r8/train."
        )
    refuse_unfetched(wanted, settings)
    try:
        return _sst2(wanted, part, settings) if wanted.kind == "tasks" else (_table(wanted, part, settings), None)
    except UNREADABLE as error:
        raise RetortError(
            f"The files of sample:{sample_id} are damaged ({reason(error)}).",
            f"Remove the folder samples/{sample_id} from the data folder and fetch it again.",
        ) from error


def _table(wanted: Sample, part: str, settings: Settings) -> list[tuple[str, str]]:
    """Orange's .tab: three header lines (names, types, roles), then `class<TAB>text`."""
    if part not in ("train", "test"):
        raise RetortError(f"sample:{wanted.id} has no part '{part}'.", f"Write {wanted.id}/train or {wanted.id}/test.")
    lines = (wanted.folder(settings) / f"{part}.tab").read_text("utf-8").split("\n")[3:]
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return [(text.strip(), label) for label, text in pairs]


def _sst2(wanted: Sample, part: str, settings: Settings) -> tuple[list[tuple[str, str]], list[str]]:
    if part != "sst2":
        raise RetortError(f"'{part}' is not a labelled set Retort reads.", "Write sample:tasks/sst2.")
    import pyarrow as pa

    folder = wanted.folder(settings) / _SST2
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    names: list[str] = info["features"]["label"]["names"]
    with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "rb") as file:
        rows = pa.ipc.open_stream(file).read_all().to_pylist()
    return [(str(row["sentence"]).strip(), names[row["label"]]) for row in rows], names


def _file(path: Path) -> list[tuple[str, str]]:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl") or not path.is_file():
        raise RetortError(f"'{path.name}' is no labelled file Retort reads.", "Use .csv, .tsv or .jsonl.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".jsonl":
                rows: list[dict[str, Any]] = [json.loads(line) for line in file if line.strip()]
            else:
                rows = list(csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ","))
    except UNREADABLE as error:
        raise RetortError(
            f"{path.name} cannot be read ({reason(error)}).", "Check that it is whole and in UTF-8."
        ) from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise RetortError(f"{path.name} holds no rows with columns.", "Give each text a row with a text and a label.")
    text, label = (_column(rows[0], names, path.name) for names in (TEXT_COLUMNS, LABEL_COLUMNS))
    return [(whole(str(row.get(text) or "")).strip(), whole(str(row.get(label)))) for row in rows]


def _column(row: dict[str, Any], accepted: tuple[str, ...], where: str) -> str:
    for name in row:
        if str(name).lower() in accepted:
            return name
    raise RetortError(
        f"{where} has none of the columns {', '.join(accepted)}.", f"Rename the right one to '{accepted[0]}'."
    )
