"""The distil and fine-tune steps of a recipe: what is taught, by whom, from which text, for how long.

- step: distil
  teacher: baseline                 # the recipe's own model, before any other step
  losses: [{loss: logit_kl}]        # any weighted mix of core.registry.losses
  data: {data: "sample:wiki", split: training, length: 512}
  budget: {tokens: 500_000}
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.base.text import one_line
from core.recipe.distil_parts import Design as Design
from core.recipe.distil_parts import Lora as Lora
from core.recipe.distil_parts import OnPolicy as OnPolicy
from core.recipe.distil_parts import Schedule as Schedule
from core.recipe.distil_parts import TeacherCache as TeacherCache
from core.recipe.distil_parts import TeacherTexts as TeacherTexts
from core.recipe.distil_parts import Term as Term
from core.recipe.distil_parts import TrainingBudget as TrainingBudget
from core.recipe.distil_parts import TrainingData as TrainingData
from core.recipe.labelling import Labelling as Labelling
from core.recipe.parts import Layer, Seed, StepName, Strict
from core.recipe.references import model_parts, pasted

_STEPS = 10_000_000
_EARLIER = re.compile(r"step:([1-9][0-9]{0,3})")
_REFERENCES = "'sample:NAME', 'path:/folder', 'hub:org/name@revision' or 'run:ID'"


class Distil(Strict):
    """One distillation (or, with only `cross_entropy`, fine-tuning) step.

    `teacher`: `baseline` (the recipe's own model), `step:N` (the model as the N-th step that changes it left it,
    counted from 1), or a model reference. `student`: `current` (the model as the
    steps before left it) or a model reference; `design` makes one from the teacher instead.
    """

    step: Literal["distil", "finetune"] = "distil"
    name: StepName = ""
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
    budget: TrainingBudget = TrainingBudget(steps=200)
    schedule: Schedule = Schedule()
    lora: Lora | None = None
    cache: TeacherCache | None = None
    on_policy: OnPolicy | None = None
    teacher_texts: TeacherTexts | None = None
    labelling: Labelling | None = None
    """A language model as teacher labels the texts, and a classifier learns its labels."""
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
        return pasted(value)

    @field_validator("student")
    @classmethod
    def known_student(cls, value: str) -> str:
        if value != "current" and model_parts(value) is None:
            raise ValueError(f"is 'current', {_REFERENCES}")
        return pasted(value)

    @model_validator(mode="after")
    def fits_together(self) -> Distil:
        if self.step == "finetune" and self.needs_teacher:
            raise ValueError("fine-tuning takes only 'cross_entropy'; use 'step: distil' for the other losses")
        if self.design is not None and self.student != "current":
            raise ValueError("give 'student' or 'design', not both")
        if self.micro_batch is not None and self.micro_batch > self.batch:
            raise ValueError(f"'micro_batch' is {self.micro_batch}, and the whole 'batch' only {self.batch}")
        self._layers_fit()
        self._tokens_fit()
        self._labels_fit()
        self._cache_fits()
        self._writing_fits()
        return self

    def _layers_fit(self) -> None:
        if self.layer_map and not any(t.described.group == "feature" for t in self.losses):
            raise ValueError("no loss here compares layers: leave out 'layer_map'")
        if len(set(self.layer_map)) < len(self.layer_map):
            raise ValueError("'layer_map' names a pair twice")

    def _tokens_fit(self) -> None:
        if not self.by_text:
            return
        others = [t.loss for t in self.losses if t.described.needs_teacher and not t.described.by_text]
        if others:
            raise ValueError(
                f"{', '.join(others)} compares token by token, and {self._across()} behind the same text: use one kind"
            )
        if self.data.form != "text":
            raise ValueError(f"{self._across()} compares running text: use 'form: text', or other losses")

    def _labels_fit(self) -> None:
        if self.labelling is None:
            return
        if self.data.form != "labels":
            raise ValueError("'labelling' gives texts their classes: use 'form: labels'")
        if not self.needs_teacher:
            raise ValueError("no loss here uses the teacher's labels: add 'soft_labels', or leave out 'labelling'")
        if self.cache is not None or self.design is not None:
            raise ValueError("the labels are stored as they are made: leave out 'cache', and 'design' too")
        wrong = [t.loss for t in self.losses if t.described.kind not in ("distribution", "labels")]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} needs more than the probabilities of classes: use 'soft_labels'")

    def _across(self) -> str:
        return next(t.loss for t in self.losses if t.described.by_text)

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
    def by_text(self) -> bool:
        """True where teacher and student are compared behind the same text, whatever their tokens are."""
        return any(t.described.by_text for t in self.losses)

    @property
    def earlier_step(self) -> int | None:
        """N of the teacher `step:N`."""
        found = _EARLIER.fullmatch(self.teacher)
        return int(found[1]) if found else None

    @property
    def taught(self) -> bool:
        """True where a teacher decides what is learnt: by a loss, or by the texts it wrote."""
        return self.needs_teacher or self.teacher_texts is not None

    def label(self, done: str = "") -> str:
        """What is done; `done` is what was used of the budget where it ended early (`TrainingBudget.cut_short`)."""
        if self.name:
            return self.name + (f" ({done})" if done else "")
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
        means += [] if self.labelling is None else ["on the teacher's labels"]
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
