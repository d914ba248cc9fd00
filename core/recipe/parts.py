"""The building blocks of recipes: texts, calibration, evaluation, latency, sizes and targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from core.recipe.own_tasks import OwnTask
from core.recipe.references import labelled_form, split_form, text_form
from core.recipe.strict import Name as Name
from core.recipe.strict import StepName as StepName
from core.recipe.strict import Strict as Strict
from core.recipe.strict import shown as shown
from core.registry.formatting import percent
from core.registry.tasks import TASK_SETS

Mode = Literal["joint", "sequential"]
Allocation = Literal["uniform", "owl", "sensitivity"]
Heal = Literal["none", "closed-form"]
"""closed-form: after parts are removed, the matrices that read them are solved again by least squares."""
Part = Literal["layers", "neurons", "heads", "kv_groups", "hidden", "experts"]
Pattern = Annotated[str, Field(description="'unstructured' or 'N:M' such as '2:4' (N of every M stay)")]
StartToken = Literal["tokenizer", "none", "each"]
"""What windows of text begin with: what the tokenizer puts before a text, nothing, or its start token."""
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Layer = Annotated[int, Field(ge=0, lt=10_000)]
"""A layer, counted from 0."""


class Columns(Strict):
    """Which column of a table means what; what is left out is told from names and contents, and said."""

    text: Name | None = None
    text_pair: Name | None = None
    """The second of two texts that a classifier reads together."""
    label: Name | None = None
    messages: Name | None = None
    """A conversation: a list of messages with `role` and `content`, or with `from` and `value`."""
    prompt: Name | None = None
    completion: Name | None = None

    @model_validator(mode="after")
    def each_once(self) -> Columns:
        given = [name for _, name in self if name is not None]
        if len(set(given)) < len(given):
            raise ValueError("one column is named for two things")
        return self

    def filled(self, **others: str | None) -> Columns:
        """With what `others` say where nothing is said here."""
        return self.model_copy(update={k: v for k, v in others.items() if getattr(self, k) is None})


class Corpus(Strict):
    """Text: a sample corpus with its split, files of your own, or a hub data set.

    `data`: `sample:wiki` (its three parts never overlap); `path:` a file, a folder or a pattern of files: text, code,
    CSV, JSON, JSON lines, Parquet or Arrow, compressed or not; `hub:org/name@revision`.
    """

    data: str = "sample:wiki"
    split: Name | None = None
    column: Name | None = None
    """The older way to say `columns: {text: ...}`."""
    columns: Columns | None = None

    @field_validator("data")
    @classmethod
    def known_data(cls, value: str) -> str:
        return text_form(value)

    @model_validator(mode="after")
    def known_split(self) -> Self:
        split_form(self.data, self.split)
        return self

    @model_validator(mode="after")
    def one_text(self) -> Self:
        if self.column is not None and self.columns and self.columns.text not in (None, self.column):
            raise ValueError("'column' and 'columns' name two columns for the text: leave 'column' out")
        return self

    @property
    def mapping(self) -> Columns:
        """Every column the recipe names."""
        return (self.columns or Columns()).filled(text=self.column)


class Calibration(Corpus):
    """What statistics are gathered on: `sequences` windows of `length` tokens, drawn with `seed`."""

    split: Name | None = "calibration"
    sequences: int = Field(32, ge=1, le=100_000)
    length: int = Field(512, ge=8, le=131_072)
    seed: Seed = 0
    start_token: StartToken = "tokenizer"
    """As `Evaluation.start_token`."""


class LabelledSet(Strict):
    """Labelled texts a classifier is judged on: a sample, or a data set with a text and a label column."""

    data: str = "sample:reuters-r8/test"
    split: Name | None = None
    """Of a hub data set; left out: its part `test`."""
    columns: Columns | None = None
    items: int | None = Field(None, ge=2, le=10_000_000)
    """Only the first so many; None: all."""
    classes: dict[Name, Name] = Field({}, max_length=1_000)
    """Which class of the model a label of the file stands for, where the two are called differently."""

    @field_validator("data")
    @classmethod
    def known_data(cls, value: str) -> str:
        return labelled_form(value)

    @property
    def reading(self) -> dict[str, object]:
        """How the texts are read, beside `data`; empty where nothing is said."""
        said = {"split": self.split, "columns": self.columns and self.columns.model_dump(exclude_none=True)}
        return {k: v for k, v in {**said, "classes": self.classes}.items() if v}

    @property
    def source(self) -> LabelledSource:
        """Where the texts come from."""
        return LabelledSource(self.data, self.split or "test", self.columns or Columns(), self.classes)


class LabelledSource(NamedTuple):
    """Labelled texts wherever a recipe names them: the part of a hub data set, columns, and what labels stand for."""

    data: str
    split: str = "train"
    columns: Columns = Columns()
    classes: Mapping[str, str] = MappingProxyType({})


class Evaluation(Corpus):
    """What quality is measured on: `tokens` tokens in windows of `window` all over the text, tasks, a labelled set."""

    split: Name | None = "evaluation"
    tokens: int = Field(8_192, ge=16, le=1_000_000_000)
    window: int = Field(512, ge=8, le=131_072)
    batch: int = Field(4, ge=1, le=4_096)
    start_token: StartToken = "tokenizer"
    """What each window begins with. Published tables often begin with the text itself: `none`."""
    tasks: tuple[Name, ...] = Field((), max_length=100)
    """Multiple-choice sets (`core.registry.tasks`), or any task of lm-evaluation-harness where that is the scorer."""
    items: int | None = Field(200, ge=2, le=10_000_000)
    """The first so many items of each task; None: all."""
    scorer: Literal["retort", "lm-eval"] = "retort"
    own_tasks: tuple[OwnTask, ...] = Field((), max_length=50)
    """Questions of your own, with options to choose from or an answer to write. Retort scores them."""
    labelled: LabelledSet | None = None
    """For classification models."""

    @model_validator(mode="after")
    def known_tasks(self) -> Evaluation:
        unknown = [t for t in self.tasks if t not in TASK_SETS]
        if unknown and self.scorer == "retort":
            raise ValueError(f"unknown task '{unknown[0]}'; known: {', '.join(TASK_SETS)}, and others by lm-eval")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("a task is listed twice")
        names = [t.name for t in self.own_tasks]
        taken = [n for n in names if n in TASK_SETS or n in self.tasks or names.count(n) > 1]
        if taken:
            raise ValueError(f"an own task cannot be called '{taken[0]}': another task is; give it another 'name'")
        return self

    def identity(self) -> dict[str, object]:
        """What determines figures: settings of tasks only where there are tasks."""
        said = self.model_dump(mode="json")
        if not self.own_tasks:
            del said["own_tasks"]
        if not self.tasks:
            unused = ("tasks", "scorer") if self.own_tasks else ("tasks", "items", "scorer")
            said = {k: v for k, v in said.items() if k not in unused}
        if self.labelled is not None and self.labelled.split is None:
            said["labelled"] = {k: v for k, v in said["labelled"].items() if k != "split"}
        return {k: v for k, v in said.items() if k != "labelled" or v is not None}


class Latency(Strict):
    """How latency is measured: a prompt, then new tokens, repeated and interleaved with the baseline."""

    prompt: int = Field(128, ge=1, le=131_072)
    new_tokens: int = Field(16, ge=2, le=8_192)
    repeats: int = Field(5, ge=1, le=1_000)
    warmup: int = Field(1, ge=0, le=100)
    batch: int = Field(1, ge=1, le=1_024)


class Sizes(Strict):
    """Explicit sizes of the pruned model; what is left out stays as it is."""

    layers: int | None = Field(None, ge=1, le=10_000)
    intermediate: int | None = Field(None, ge=1, le=10_000_000)
    heads: int | None = Field(None, ge=1, le=100_000)
    kv_heads: int | None = Field(None, ge=1, le=100_000)
    hidden: int | None = Field(None, ge=1, le=1_000_000)
    experts: int | None = Field(None, ge=1, le=100_000)

    @model_validator(mode="after")
    def some_size(self) -> Sizes:
        if all(v is None for _, v in self):
            raise ValueError(f"gives no size: name at least one of {', '.join(type(self).model_fields)}")
        return self


class Target(Strict):
    """How much a structured method removes: exactly one of these.

    remove_layers: layers to take out.  block_fraction: fraction of the parameters inside the blocks to
    remove.  total_fraction: of all parameters.  megabytes: size on disk to reach, with tokenizer and configuration.
    sizes: explicit.
    """

    remove_layers: int | None = Field(None, ge=0, lt=10_000)
    block_fraction: float | None = Field(None, ge=0.0, lt=1.0)
    total_fraction: float | None = Field(None, ge=0.0, lt=1.0)
    megabytes: float | None = Field(None, gt=0.0, le=1e12)
    sizes: Sizes | None = None

    @model_validator(mode="after")
    def one_target(self) -> Target:
        given = [k for k, v in self if v is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(type(self).model_fields)}; got {given or 'none'}")
        return self

    def label(self) -> str:
        if self.remove_layers is not None:
            return f"{self.remove_layers} layer{'s' if self.remove_layers != 1 else ''} removed"
        if self.block_fraction is not None:
            return f"{percent(self.block_fraction)} of block parameters removed"
        if self.total_fraction is not None:
            return f"{percent(self.total_fraction)} of all parameters removed"
        if self.megabytes is not None:
            return f"{self.megabytes:g} MB with tokenizer"
        assert self.sizes is not None
        return ", ".join(f"{k} {v}" for k, v in self.sizes if v is not None)


def n_of_m(pattern: str) -> tuple[int, int]:
    """(N, M) of 'N:M': N of every M consecutive inputs stay. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,3}):(\d{1,3})", pattern)
    if not found or not 0 < int(found[1]) < int(found[2]):
        raise ValueError(f"pattern '{pattern}' is neither 'unstructured' nor N:M with 0 < N < M, such as 2:4")
    return int(found[1]), int(found[2])
