"""Labelled texts for classification: the Reuters and newsgroup samples, and data of your own."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.catalogue.samples import refuse_unfetched
from core.data.classes import classes_of
from core.data.labelled import labelled_rows
from core.data.tables import UNREADABLE
from core.engine.data.corpora import open_rows
from core.engine.data.lengths import cut_texts
from core.recipe.parts import LabelledSource
from core.recipe.trial_keys import hashed
from core.registry.formatting import percent
from core.registry.sample_types import Sample
from core.registry.samples import SAMPLES

_SST2 = "glue/sst2/validation"
_UNEVEN = 0.8
"""The share of one class from which on always naming it looks like knowing something."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with a class each: `labels[i]` is an index into `names`."""

    texts: list[str]
    labels: list[int]
    names: list[str]
    notes: tuple[str, ...] = ()
    """Which columns were read, what was left out, and what had to be assumed about the labels."""
    pairs: list[str] | None = None
    """The second text of each, where a model reads two together."""

    def first(self, count: int | None) -> LabelledTexts:
        """Only the first so many; None: all."""
        pairs = None if self.pairs is None else self.pairs[:count]
        return replace(self, texts=self.texts[:count], labels=self.labels[:count], pairs=pairs)

    @property
    def digest(self) -> str:
        """Identifies texts and classes, whatever order a model counts the classes in: 16 hexadecimal digits."""
        classes = [self.names[label] for label in self.labels]
        return hashed([self.texts, classes] if self.pairs is None else [self.texts, classes, self.pairs])[:16]

    def remarks(self, tokenizer: Any, limit: int) -> list[str]:
        """What is to be said before a figure is believed; `limit` tokens of each text are read."""
        cut, count = cut_texts(tokenizer, self.texts, limit, self.pairs), len(self.texts)
        were = f"{cut:,} of {count:,} labelled texts are longer than {limit} tokens and are cut there." if cut else ""
        return [said for said in (*self.notes, self._uneven(), were) if said]

    def _uneven(self) -> str:
        (most, count), *_ = Counter(self.labels).most_common(1)
        if count < _UNEVEN * len(self.labels):
            return ""
        return (
            f"{percent(count / len(self.labels))} of the texts are '{one_line(self.names[most], 40)}': a model that "
            "always says so is right as often. The macro F1 shows whether it knows the others."
        )


def load_labelled(
    source: LabelledSource, settings: Settings, actor: Actor, names: list[str] | None = None
) -> LabelledTexts:
    """Reads `sample:reuters-r8/train`, `sample:20newsgroups/test`, `sample:tasks/sst2`, files of your own or the hub.

    Args:
        names: the classes in the order a model knows them; default: sorted by name (or by number).
    Raises:
        RetortError: unknown reference, missing column, fewer than two classes, or a class not in `names`.
    """
    kind, _, name = source.data.partition(":")
    notes: list[str] = []
    pairs: list[str] | None = None
    if kind == "sample":
        texts, order = _sample(name, settings)
    elif kind in ("path", "hub"):
        rows = open_rows(source.data, source.split, settings, actor)
        found = labelled_rows(rows, source.columns)
        texts, order, pairs, notes = found.texts, found.order, found.pairs, found.notes
    else:
        raise RetortError(
            f"'{one_line(source.data, 200)}' is no labelled data.",
            "Write sample:reuters-r8/train or path:/folder/file.csv.",
        )
    classes = classes_of([label for _, label in texts], names, source.classes, order, source.data)
    if len(classes.names) < 2:
        raise RetortError(
            f"{one_line(source.data, 200)} has fewer than two classes.", "Check which column holds the label."
        )
    labels = [classes.index[label] for _, label in texts]
    said = tuple(n for n in (*notes, classes.note) if n)
    return LabelledTexts([text for text, _ in texts], labels, classes.names, said, pairs)


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
