"""The parts of a distil step: losses, data, budget, schedule, and what may be stored or written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from core.recipe.parts import Columns, Corpus, LabelledSource, Name, Sizes, Strict
from core.recipe.references import labelled_form, rows_form, text_form
from core.registry.losses import LOSSES, Loss, Value

_STEPS = 10_000_000


def number_or_choice(value: object) -> object:
    """Raises ValueError where a loss's parameter is neither a number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number, or one of the parameter's choices")
    return value


class Term(Strict):
    """One loss of the mix, its weight, and its own parameters (see `core.registry.losses`)."""

    loss: str
    weight: float = Field(1.0, gt=0.0, le=1e6)
    parameters: dict[Name, Annotated[Value, BeforeValidator(number_or_choice)]] = {}

    @field_validator("loss")
    @classmethod
    def known_loss(cls, value: str) -> str:
        if value not in LOSSES:
            raise ValueError(f"unknown loss '{value}'; known: {', '.join(LOSSES)}")
        return value

    @model_validator(mode="after")
    def known_parameters(self) -> Term:
        LOSSES[self.loss].settings(self.parameters)
        return self

    @property
    def described(self) -> Loss:
        return LOSSES[self.loss]

    @property
    def settings(self) -> dict[str, Value]:
        """Every parameter of the loss, defaults filled in."""
        return self.described.settings(self.parameters)


class Design(Strict):
    """A student made from the teacher's own layers: fewer of them (`layers`), each narrower (`sizes`), or both."""

    layers: int | None = Field(None, ge=1, le=10_000)
    sizes: Sizes | None = None
    initialise: Literal["spread", "importance", "random"] = "spread"
    """Which teacher layers it starts from: evenly spread, or the most important ones. `random` starts from nothing."""

    @model_validator(mode="after")
    def something_to_design(self) -> Design:
        if self.layers is None and self.sizes is None:
            raise ValueError("give 'layers', 'sizes' or both")
        if self.sizes is not None and self.sizes.layers is not None:
            raise ValueError("give the number of layers as 'layers', not inside 'sizes'")
        return self

    def label(self) -> str:
        parts = [] if self.layers is None else [f"{self.layers} layer{'s' * (self.layers != 1)}"]
        parts += [f"{name} {size}" for name, size in self.sizes or () if size is not None]
        start = " and random weights" if self.initialise == "random" else ""
        return f"student of {' and '.join(parts).replace('kv_heads', 'key-value heads')}{start}"


class TrainingData(Corpus):
    """What the student learns from.

    form: `text` packs whole texts into windows; `chat` reads conversations, or a prompt and its completion, through
    the tokenizer's chat template and counts only the answer; `labels` reads texts and their classes. `columns` says
    which column is which.
    """

    split: Name | None = "training"
    form: Literal["text", "chat", "labels"] = "text"
    length: int = Field(512, ge=8, le=131_072)
    prompt: Name = "prompt"
    answer: Name = "answer"
    label: Name = "label"
    """`prompt`, `answer` and `label` are the older way to say `columns`."""
    classes: dict[Name, Name] = Field({}, max_length=1_000)
    """Labels: which class of the model a label of the file stands for, where the two are called differently."""
    count_prompt: bool = False
    """Chat: the prompt's tokens count too."""
    streaming: bool = False
    """Read the text as it is needed instead of all at once: for what does not fit in memory."""

    @field_validator("data")
    @classmethod
    def known_data(cls, value: str) -> str:
        return value  # which references there are depends on the form

    @model_validator(mode="after")
    def data_fits_form(self) -> TrainingData:
        try:
            {"text": text_form, "chat": rows_form, "labels": labelled_form}[self.form](self.data)
        except ValueError as error:
            raise ValueError(f"'data' and 'form: {self.form}' do not fit: {error}") from None
        if self.count_prompt and self.form != "chat":
            raise ValueError("'count_prompt' is for 'form: chat': other texts have no prompt")
        if self.streaming and self.form == "labels":
            raise ValueError("labelled texts are read whole: leave out 'streaming'")
        return self

    @property
    def mapping(self) -> Columns:
        """Every column the recipe names."""
        older = {"prompt": self.prompt, "completion": self.answer, "label": self.label}
        usual = {"prompt": "prompt", "completion": "answer", "label": "label"}
        return super().mapping.filled(**{k: v for k, v in older.items() if v != usual[k]})

    @property
    def source(self) -> LabelledSource:
        """Where labelled texts come from."""
        return LabelledSource(self.data, self.split or "train", self.mapping, self.classes)


class TrainingBudget(Strict):
    """How long to train: exactly one of these. `tokens` are tokens read, padding left out."""

    steps: int | None = Field(None, ge=1, le=_STEPS)
    tokens: int | None = Field(None, ge=1, le=10**15)
    minutes: float | None = Field(None, gt=0.0, le=100_000)

    @model_validator(mode="after")
    def one_budget(self) -> TrainingBudget:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of steps, tokens, minutes; got {given or 'none'}")
        return self

    def label(self) -> str:
        if self.steps is not None:
            return f"{self.steps:,} step{'s' * (self.steps != 1)}"
        return f"{self.tokens:,} tokens" if self.tokens is not None else f"{self.minutes:g} minutes"

    def cut_short(self, steps: int, tokens: int, seconds: float) -> str:
        """What was used of it where training ended before: '6 of 200 steps'."""
        if self.steps is not None:
            return f"{steps:,} of {self.label()}"
        done = f"{tokens:,}" if self.tokens is not None else f"{seconds / 60:.1f}"
        return f"{done} of {self.label()}"


class Schedule(Strict):
    """Learning rate: a linear warm-up to `learning_rate`, then a cosine down to `final` of it."""

    learning_rate: float = Field(1e-4, gt=0.0, le=1.0)
    warmup: float = Field(0.05, ge=0.0, lt=1.0)
    final: float = Field(0.1, ge=0.0, le=1.0)
    weight_decay: float = Field(0.0, ge=0.0, le=1.0)
    clip: float = Field(1.0, gt=0.0, le=1e9)
    """Largest norm of the gradient; longer ones are shortened to it."""


class Lora(Strict):
    """Trains small added matrices instead of all weights; they are merged into the model at the end."""

    rank: int = Field(16, ge=1, le=1_024)
    alpha: int = Field(32, ge=1, le=65_536)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    modules: tuple[Name, ...] = Field((), max_length=200)
    """Names of the linear layers to adapt; empty: every one inside the blocks."""
    ratio: float | None = Field(None, ge=1.0, le=64.0)
    """How many times faster the adapters' second matrices learn, which start at zero (LoRA+). None: 16 for a
    classifier, whose head has to learn at the same time; else 1."""

    def ratio_for(self, task: str) -> float:
        """The ratio where the model does this (`causal`, `classification`, ...)."""
        return self.ratio or (16.0 if task == "classification" else 1.0)


class TeacherCache(Strict):
    """The teacher's `k` largest log-probabilities at each token, stored once and reused.

    tail: `bucket` puts the rest of both models' probability into one extra outcome: never more than the full
    divergence, and equal to it when k is the vocabulary. `renormalise` forgets the rest.
    """

    k: int = Field(64, ge=1, le=4_096)
    tail: Literal["bucket", "renormalise"] = "bucket"
    precision: Literal["float16", "float32"] = "float16"


class OnPolicy(Strict):
    """A share of the sequences is continued by the student itself and judged by the teacher (GKD)."""

    share: float = Field(0.5, gt=0.0, le=1.0)
    prompt: int = Field(32, ge=1, le=131_072)
    """Tokens of the text it starts from."""
    temperature: float = Field(1.0, gt=0.0, le=5.0)


class TeacherTexts(Strict):
    """Sequence level: the teacher continues `sequences` prompts once, and the student learns those texts."""

    sequences: int = Field(256, ge=1, le=1_000_000)
    prompt: int = Field(32, ge=1, le=131_072)
    temperature: float = Field(1.0, ge=0.0, le=5.0)
    """0: the likeliest token every time."""
