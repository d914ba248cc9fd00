"""A distil or fine-tune step of a recipe: finds its models and data, trains, and hands back a candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.base.progress import Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.fingerprint import folder_fingerprint
from core.catalogue.references import resolve
from core.engine.data.classification import load_labelled
from core.engine.distil.batches import Examples, SoftLabelled
from core.engine.distil.classification_head import unchanged, untrained_head, with_classes
from core.engine.distil.loading import load_examples, texts_to_label
from core.engine.distil.run import TrainContext, distil
from core.engine.distil.student import design_student, kept_layers
from core.engine.distil.trainer import TrainingOutcome
from core.engine.models.load import Loaded, load_model
from core.engine.models.plain_generation import plain_generation
from core.engine.prune.prune_report import PruneReport
from core.engine.run.labelling import agreement, soft_labelled
from core.recipe.hooks import STOP_AND_KEEP
from core.recipe.recipe import Distil
from core.recipe.trial_keys import hashed, library_versions
from core.registry.formatting import percent

_PROMPT_TOKENS, _WRITTEN_TOKENS = 24, 40


@dataclass(frozen=True)
class Saved:
    """A saved model, and its key where it is a candidate of this home."""

    folder: Path
    key: str = ""


@dataclass(frozen=True)
class DistilTask:
    """What a distil step starts from.

    Attributes:
        spec: the step.
        baseline: the recipe's own model.
        current: the model as the steps before left it.
        facts: of the pruning steps before, in order (which layers are left).
        teacher: the model of the step that `spec.teacher` names, and how many of `facts` led to it.
        dtype: the recipe's dtype.
        windows: the calibration windows in a model's own tokens, for a student designed by importance.
        checkpoints: where this step's checkpoints lie.
        run_folder: where the user's wish to stop and keep is looked for.
    """

    spec: Distil
    baseline: Saved
    current: Saved
    facts: Sequence[dict[str, Any]]
    dtype: str
    windows: Callable[[Loaded], torch.Tensor | None]
    checkpoints: Path
    run_folder: Path
    teacher: tuple[Saved, int] | None = None


Train = Callable[[Loaded, Loaded | None, Distil, Examples, TrainContext], TrainingOutcome]
"""Trains the first model in place; as `core.engine.distil.run.distil`."""


def distil_step(
    task: DistilTask, settings: Settings, actor: Actor, reporter: Reporter, train: Train = distil
) -> tuple[Loaded, PruneReport]:
    """The trained student, and what is to be said about it. `train` says where it learns.

    Raises:
        RetortError: the models, the data and the spec do not fit together.
        Cancelled: asked to stop; a checkpoint was written.
    """
    spec = task.spec
    reporter.progress(0, 1, "Loading teacher and student.")
    teacher, teacher_print = _teacher(task, settings, actor)
    student, student_print, kept, report = _student(task, teacher, settings, actor, reporter)
    stop = task.run_folder / STOP_AND_KEEP
    train_context = TrainContext(
        folder=task.checkpoints,
        cache=settings.cache,
        reporter=reporter,
        student=student_print,
        teacher=teacher_print,
        half=student.dtype == torch.bfloat16,
        layers_kept=kept,
        stop_and_keep=stop.exists,
    )

    def say(sentence: str) -> None:
        report.note(sentence)
        reporter.event("warning", sentence)

    examples: Examples
    if spec.labelling is not None and teacher is not None:
        texts, gold = texts_to_label(spec.data, teacher.tokenizer, settings, actor, say)
        examples = soft_labelled(
            texts, gold, spec, teacher, teacher_print, student, settings.cache / "labels", reporter, say
        )
        teacher = None  # its labels are all that is needed of it
    else:
        examples = load_examples(spec.data, student, settings, actor, say)
    if student.task == "causal" and examples.count:
        train_context.checked = Samples(student, teacher, sample_prompt(examples), reporter).write
    head = untrained_head(student) if spec.data.form == "labels" else {}
    outcome = train(student, teacher, spec, examples, train_context)
    if outcome.steps and unchanged(student, head):
        say("The layer that tells the classes apart did not change in training: its answers are those of chance.")
    if isinstance(examples, SoftLabelled):
        report.facts["teacher_agreement"] = share = agreement(student, examples, spec.held_out, spec.batch)
        report.note(
            f"To {percent(share)} of the {spec.held_out} texts it was not trained on the student gives the class that "
            "its teacher gives."
        )
    stop.unlink(missing_ok=True)
    for sentence in outcome.notes:
        report.note(sentence)
    report.facts |= {
        "steps": outcome.steps,
        "tokens": outcome.tokens,
        "training_seconds": outcome.seconds,
        "best_step": outcome.best_step,
    }
    if outcome.stopped:
        report.facts["stopped"] = outcome.stopped
    return student, report


def sample_prompt(examples: Examples) -> torch.Tensor:
    """`(1, tokens)`: what `Samples` continues."""
    return examples.take([0], 0).ids[:1, :_PROMPT_TOKENS]


class Samples:
    """What the student writes to one prompt at each check, and the teacher once: events with the text."""

    def __init__(self, student: Loaded, teacher: Loaded | None, prompt: torch.Tensor, reporter: Reporter) -> None:
        self._student, self._teacher, self._prompt, self._reporter = student, teacher, prompt, reporter

    def write(self, step: int) -> None:
        """Greedy text of the student as it is at `step`."""
        if self._teacher is not None:
            self._say("teacher", self._teacher, step)
            self._teacher = None  # it does not change
        self._say("student", self._student, step)

    @torch.no_grad()
    def _say(self, who: str, loaded: Loaded, step: int) -> None:
        tokenizer, prompt = loaded.tokenizer, self._read_by(loaded).to(loaded.model.device)  # (1, tokens)
        writer: Any = loaded.model
        with plain_generation(writer):
            ids = writer.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=_WRITTEN_TOKENS, do_sample=False
            )
        text = tokenizer.decode(ids[0, prompt.shape[1] :])
        message = f"What the {who} writes at step {step}."
        self._reporter.event("info", message, sample=who, step=step, prompt=tokenizer.decode(prompt[0]), text=text)

    def _read_by(self, loaded: Loaded) -> torch.Tensor:
        """The prompt in a model's own tokens, which may be others than the student's."""
        ours = self._student.tokenizer
        if loaded.tokenizer.get_vocab() == ours.get_vocab():
            return self._prompt
        text = ours.decode(self._prompt[0])
        return torch.tensor([loaded.tokenizer(text, add_special_tokens=False)["input_ids"]])


def _with_head(loaded: Loaded, spec: Distil, settings: Settings, actor: Actor) -> Loaded:
    """A model without a head for its classes gets one, with the classes of the training data; others stay."""
    if spec.data.form != "labels" or loaded.task == "classification":
        return loaded
    if spec.labelling is not None:
        names = list(spec.labelling.classes)
    else:
        names = load_labelled(spec.data.source, settings, actor).names
    return with_classes(loaded, names, spec.seed)


def _teacher(task: DistilTask, settings: Settings, actor: Actor) -> tuple[Loaded | None, str]:
    spec = task.spec
    if not (spec.needs_teacher or spec.teacher_texts or spec.design):
        return None, ""
    chosen = task.baseline
    if task.teacher is not None:
        chosen = task.teacher[0]
    elif spec.teacher != "baseline":
        chosen = Saved(resolve(spec.teacher, settings, actor).folder)
    loaded = load_model(chosen.folder, task.dtype)
    return loaded, _identity(chosen.folder, loaded, settings)


def _student(
    task: DistilTask, teacher: Loaded | None, settings: Settings, actor: Actor, reporter: Reporter
) -> tuple[Loaded, str, list[int] | None, PruneReport]:
    """The student, its fingerprint, the teacher's index of each of its layers, and how it was made."""
    spec = task.spec
    if spec.design is not None:
        assert teacher is not None
        made = design_student(teacher, spec.design, None, task.windows(teacher), reporter)
        return made.loaded, spec.design.model_dump_json(), made.layers_kept, made.report
    if spec.student != "current":
        resolved = resolve(spec.student, settings, actor)
        loaded = _with_head(load_model(resolved.folder, task.dtype), spec, settings, actor)
        return loaded, _identity(resolved.folder, loaded, settings), None, PruneReport()
    known = spec.teacher == "baseline" or task.teacher is not None
    kept = kept_layers(task.facts[task.teacher[1] if task.teacher else 0 :]) if known else None
    loaded = _with_head(load_model(task.current.folder, task.dtype), spec, settings, actor)
    return loaded, _identity(task.current.folder, loaded, settings), kept, PruneReport()


def _identity(folder: Path, loaded: Loaded, settings: Settings) -> str:
    """What decides the numbers a model computes: its bytes, its dtype, and the libraries."""
    return hashed([folder_fingerprint(folder, settings), str(loaded.dtype), library_versions()])
