"""The distil and fine-tune steps of a recipe: what is taught, by whom, from which text, for how long. Light: no torch.

- step: distil
  teacher: baseline                 # the recipe's own model, before any other step
  losses: [{loss: logit_kl}]        # any weighted mix of core.losses
  data: {data: "sample:wiki", split: training, length: 512}
  budget: {tokens: 500_000}
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from core.losses import LOSSES, Loss, Value
from core.plain_text import one_line
from core.recipe_parts import Corpus, Layer, Name, Seed, Sizes, Strict
from core.reference_forms import labelled_form, model_parts, rows_form, text_form

_STEPS = 10_000_000
_EARLIER = re.compile(r"step:([1-9][0-9]{0,3})")
_REFERENCES = "'sample:NAME', 'path:/folder', 'hub:org/name@revision' or 'run:ID'"


def number_or_choice(value: Any) -> Any:
    """Raises ValueError where a loss's parameter is neither a number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number, or one of the parameter's choices")
    return value


class Term(Strict):
    """One loss of the mix, its weight, and its own parameters (see `core.losses`)."""

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

    form: `text` packs whole texts into windows; `chat` reads `prompt` and `answer` columns (or a `messages`
    column) through the tokenizer's chat template and counts only the answer; `labels` reads `column` and
    `label` for classification.
    """

    split: Name | None = "training"
    form: Literal["text", "chat", "labels"] = "text"
    length: int = Field(512, ge=8, le=131_072)
    prompt: Name = "prompt"
    answer: Name = "answer"
    label: Name = "label"
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


class Budget(Strict):
    """How long to train: exactly one of these. `tokens` are tokens read, padding left out."""

    steps: int | None = Field(None, ge=1, le=_STEPS)
    tokens: int | None = Field(None, ge=1, le=10**15)
    minutes: float | None = Field(None, gt=0.0, le=100_000)

    @model_validator(mode="after")
    def one_budget(self) -> Budget:
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


class Distil(Strict):
    """One distillation (or, with only `cross_entropy`, fine-tuning) step.

    `teacher`: `baseline` (the recipe's own model), `step:N` (the model as the N-th step that changes it left it,
    counted from 1), or a model reference. `student`: `current` (the model as the
    steps before left it) or a model reference; `design` makes one from the teacher instead.
    """

    step: Literal["distil", "finetune"] = "distil"
    teacher: str = "baseline"
    student: str = "current"
    design: Design | None = None
    losses: tuple[Term, ...] = Field((Term(loss="logit_kl"),), min_length=1, max_length=20)
    layer_map: tuple[tuple[Layer, Layer], ...] = Field((), max_length=10_000)
    """Pairs (student layer, teacher layer) for feature losses; empty: from the layers the student was made of."""
    data: TrainingData = TrainingData()
    batch: int = Field(4, ge=1, le=4_096)
    """Sequences a step, in all."""
    micro_batch: int | None = Field(None, ge=1, le=4_096)
    """Sequences held at once; the gradient is the same, only slower. None: the whole batch."""
    budget: Budget = Budget(steps=200)
    schedule: Schedule = Schedule()
    lora: Lora | None = None
    cache: TeacherCache | None = None
    on_policy: OnPolicy | None = None
    teacher_texts: TeacherTexts | None = None
    gradient_checkpointing: bool = False
    keep_zeros: bool = True
    """Weights pruned to zero stay zero."""
    checkpoint_every: int = Field(50, ge=1, le=_STEPS)
    evaluate_every: int = Field(50, ge=1, le=_STEPS)
    held_out: int = Field(16, ge=1, le=100_000)
    """Sequences left out of training, on which the best step is chosen."""
    seed: Seed = 0

    @field_validator("teacher")
    @classmethod
    def known_teacher(cls, value: str) -> str:
        if value != "baseline" and not _EARLIER.fullmatch(value) and model_parts(value) is None:
            raise ValueError(f"is 'baseline', 'step:N' with N from 1, {_REFERENCES}")
        return value

    @field_validator("student")
    @classmethod
    def known_student(cls, value: str) -> str:
        if value != "current" and model_parts(value) is None:
            raise ValueError(f"is 'current', {_REFERENCES}")
        return value

    @model_validator(mode="after")
    def fits_together(self) -> Distil:
        if self.step == "finetune" and self.needs_teacher:
            raise ValueError("fine-tuning takes only 'cross_entropy'; use 'step: distil' for the other losses")
        if self.design is not None and self.student != "current":
            raise ValueError("give 'student' or 'design', not both")
        if self.micro_batch is not None and self.micro_batch > self.batch:
            raise ValueError(f"'micro_batch' is {self.micro_batch}, and the whole 'batch' only {self.batch}")
        self._layers_fit()
        self._cache_fits()
        self._writing_fits()
        return self

    def _layers_fit(self) -> None:
        if self.layer_map and not any(t.described.group == "feature" for t in self.losses):
            raise ValueError("no loss here compares layers: leave out 'layer_map'")
        if len(set(self.layer_map)) < len(self.layer_map):
            raise ValueError("'layer_map' names a pair twice")

    def _cache_fits(self) -> None:
        if self.cache is None:
            return
        live = [t.loss for t in self.losses if t.described.needs_live_teacher]
        if live:
            raise ValueError(f"{', '.join(live)} needs the teacher itself: leave out 'cache'")
        if self.on_policy is not None:
            raise ValueError("a stored teacher cannot judge what the student writes: leave out 'cache' or 'on_policy'")
        if not self.needs_teacher:
            raise ValueError("no loss here uses a teacher: leave out 'cache'")

    def _writing_fits(self) -> None:
        if self.data.form == "labels" and (self.on_policy or self.teacher_texts):
            raise ValueError("a classifier writes no text: leave out 'on_policy' and 'teacher_texts'")
        if self.on_policy is not None and all(t.described.kind == "labels" for t in self.losses):
            raise ValueError("what the student writes has no right answer: add a loss that uses the teacher")
        for part in (self.on_policy, self.teacher_texts):
            if part is not None and part.prompt >= self.data.length:
                raise ValueError(f"a prompt of {part.prompt} tokens leaves nothing of 'length' {self.data.length}")

    @property
    def needs_teacher(self) -> bool:
        """True where some loss compares with a teacher (teacher texts also need one, once)."""
        return any(t.described.needs_teacher for t in self.losses)

    @property
    def earlier_step(self) -> int | None:
        """N of the teacher `step:N`."""
        found = _EARLIER.fullmatch(self.teacher)
        return int(found[1]) if found else None

    @property
    def accumulation(self) -> int:
        """Micro-batches a step."""
        return -(-self.batch // (self.micro_batch or self.batch))

    @property
    def taught(self) -> bool:
        """True where a teacher decides what is learnt: by a loss, or by the texts it wrote."""
        return self.needs_teacher or self.teacher_texts is not None

    def label(self, done: str = "") -> str:
        """What is done; `done` is what was used of the budget where training ended before (`Budget.cut_short`)."""
        with_what = f" ({', '.join(self._means())})" if self._means() else ""
        return f"{self._way()}, {done or self.budget.label()}{with_what}"

    def _way(self) -> str:
        if not self.taught:
            return "Fine-tuned"
        on = " on the teacher's texts" if self.teacher_texts is not None else ""
        if not self.needs_teacher:
            return f"Trained{on}"
        alone = len(self.losses) == 1
        names = [t.described.inline if alone else f"{t.weight:g} {t.described.inline}" for t in self.losses]
        return f"Distilled by {' + '.join(names)}{on}"

    def _means(self) -> list[str]:
        """What sets it apart from training all weights of the current model with the recipe's own model as teacher."""
        means = [] if self.design is None else [self.design.label()]
        means += [] if self.student == "current" else [f"student {_short(self.student)}"]
        means += (
            [f"teacher {_short(self.teacher)}"] if (self.taught or self.design) and self.teacher != "baseline" else []
        )
        means += [] if self.cache is None else [f"stored teacher's top {self.cache.k}"]
        means += [] if self.on_policy is None else [f"on-policy {self.on_policy.share * 100:g} %"]
        means += [] if self.lora is None else [f"LoRA rank {self.lora.rank}"]
        return means


def _short(reference: str) -> str:
    """A reference as a label names it: of a folder its name, of `step:2` 'step 2'."""
    kind, _, name = reference.partition(":")
    if kind == "path":
        return one_line(PurePath(name).name or name, 40)
    return f"step {name}" if kind == "step" else one_line(reference, 60)
