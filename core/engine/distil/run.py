"""One distil or fine-tune step, from two loaded models and their data to a better student."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]

from core.base.errors import Impossible
from core.base.progress import Reporter
from core.engine.distil.activation_hooks import layers_of
from core.engine.distil.batch_sampler import Order
from core.engine.distil.batches import Batch, Examples
from core.engine.distil.classification_head import head_parameters
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.features import layer_map
from core.engine.distil.fit import check_fit
from core.engine.distil.fixed_masks import Zeros
from core.engine.distil.generation import on_policy, read_by, retold, teacher_texts
from core.engine.distil.lora import add_lora, merge_lora
from core.engine.distil.loss_terms import LossTerm, loss_terms
from core.engine.distil.objective import Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.parallel import shard_blocks
from core.engine.distil.reading import Reader, ReadExamples, Retokenised, unread
from core.engine.distil.state import Evaluated
from core.engine.distil.teacher import Teacher
from core.engine.distil.teacher_cache_reader import CachedTeacher
from core.engine.distil.teaching import teacher_itself, teacher_of
from core.engine.distil.trainer import Trainer, TrainingOutcome
from core.engine.models.load import Loaded
from core.engine.models.shared_tokens import SharedTokens, shared_tokens
from core.recipe.distil import Distil
from core.registry.formatting import percent


@dataclass
class TrainContext:
    """What a step needs beside its models.

    Attributes:
        folder: checkpoints of this step; a folder of an interrupted one is resumed.
        cache: where stored teachers live, shared between runs.
        student, teacher: what identifies the two models: bytes, dtype, libraries.
        half: compute in bfloat16.
        layers_kept: the teacher's index of each student layer, where the student was made from it.
        stop_and_keep: asked before each step; True ends the run with the best weights so far.
        checked: told the step after each evaluation, with the student in `eval` mode.
        saved: called after each checkpoint.
        shard: of several processes, each keeps a part of the student's blocks; the student stays in parts.
    """

    folder: Path
    cache: Path
    reporter: Reporter
    student: str
    teacher: str = ""
    half: bool = False
    layers_kept: Sequence[int] | None = None
    stop_and_keep: Callable[[], bool] = lambda: False
    checked: Callable[[int], None] = lambda step: None
    saved: Callable[[], None] = lambda: None
    shard: bool = False


def distil(
    student: Loaded, teacher: Loaded | None, spec: Distil, examples: Examples, train_context: TrainContext
) -> TrainingOutcome:
    """Trains `student.model` in place; it is left in `eval` mode, in its former dtype, with its best weights.

    Raises:
        RetortError: the two models or the data do not fit the spec or each other (said which and how).
        Cancelled: asked to stop; a checkpoint was written.
    """
    check_fit(student, teacher, spec, examples)
    shared, reader = _tokens(student, teacher, spec)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    for loaded in (student, teacher):
        if loaded is not None:
            loaded.model.to(accelerator.device)
    dtype = student.model.dtype
    student.model.float()  # the weights that learn are kept in full precision
    student_outputs = Outputs(student.model, student.task, half=train_context.half)
    if teacher is not None and spec.teacher_texts is not None:
        examples = teacher_texts(
            Outputs(teacher.model, teacher.task),
            read_by(examples, shared) if reader is None else Retokenised(examples, reader),
            spec.teacher_texts,
            spec.data.length,
            train_context.teacher,
            train_context.cache / "texts",
            spec.batch,
            spec.seed,
            train_context.reporter,
        )
        if shared is not None or reader is not None:
            examples = retold(examples, teacher, student, spec.data.length, framed=reader is not None)
    if spec.by_text and reader is not None:
        examples = ReadExamples(examples, reader)
    _prepare(student, spec)
    if train_context.shard:
        shard_blocks(student.model, accelerator)
    parts = loss_terms(spec.losses)
    features = _features(student, teacher, spec, parts, train_context)
    try:
        teacher_outputs = teacher_of(
            student,
            teacher,
            spec,
            parts,
            features,
            examples,
            train_context.teacher,
            train_context.cache,
            train_context.reporter,
            shared,
        )
        objective = Objective(student_outputs, teacher_outputs, parts, features)
        itself = teacher_itself(student, teacher, spec, parts, shared)
        rewrite = _rewrite(student_outputs, spec, shared, reader)
        outcome = _train(objective, spec, examples, train_context, accelerator, itself, rewrite)
    finally:
        if features is not None:
            features.close()
        if spec.gradient_checkpointing:
            student.model.activation_checkpointing_disable()
    if spec.lora is not None:
        merge_lora(student.model)
    if not train_context.shard:
        student.model.to(dtype)  # type: ignore[arg-type]
    _describe(outcome, spec, teacher_outputs)
    return outcome


def _tokens(student: Loaded, teacher: Loaded | None, spec: Distil) -> tuple[SharedTokens | None, Reader | None]:
    """How two models are compared whose tokens are not the same throughout: token by token, or by the text.

    Raises:
        Impossible: the losses compare token by token, and the tokenizers differ; or what is read is no running text.
    """
    if teacher is None:
        return None, None
    if not spec.by_text:
        try:
            return shared_tokens(teacher.tokenizer, student.tokenizer, teacher.model, student.model), None
        except Impossible:
            if spec.needs_teacher:
                raise
    if spec.data.form != "text":
        raise Impossible(
            "Teacher and student use different tokens, and each writes a conversation by a template of its own.",
            "Use 'form: text', or a teacher that shares the student's tokenizer.",
        )
    return None, Reader(student, teacher)


def _rewrite(
    student: Outputs, spec: Distil, shared: SharedTokens | None, reader: Reader | None
) -> Callable[[Batch, int], Batch] | None:
    """What puts the student's own texts into a batch; None where it writes none."""
    how = spec.on_policy
    if how is None:
        return None
    never = shared.unknown if shared is not None else ()

    def rewrite(batch: Batch, seed: int) -> Batch:
        if reader is None:
            return on_policy(student, batch, how, seed, never)
        return reader.read(on_policy(student, unread(batch), how, seed))

    return rewrite


def _prepare(student: Loaded, spec: Distil) -> None:
    model = student.model
    if spec.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if spec.lora is None:
        model.requires_grad_(True)
        return
    if spec.keep_zeros and Zeros(model):
        raise Impossible(
            "The student's pruned weights would not stay zero: merging the adapters fills them.",
            "Train all weights (leave out 'lora'), or set 'keep_zeros: false'.",
        )
    add_lora(model, spec.lora, spec.seed)
    if student.task == "classification":
        # Adapters sit inside the blocks; a head that keeps a random start would answer by chance.
        for parameter in head_parameters(model).values():
            parameter.requires_grad_(True)
    if spec.gradient_checkpointing:
        model.enable_input_require_grads()


def _features(
    student: Loaded, teacher: Loaded | None, spec: Distil, parts: Sequence[LossTerm], train_context: TrainContext
) -> FeatureTerms | None:
    if not any(p.loss.group == "feature" for p in parts):
        return None
    assert teacher is not None
    pairs = list(spec.layer_map) or layer_map(
        layers_of(student.model), layers_of(teacher.model), train_context.layers_kept
    )
    return FeatureTerms(student.model, teacher.model, parts, pairs, student.task == "causal", spec.seed)


def _train(
    objective: Objective,
    spec: Distil,
    examples: Examples,
    train_context: TrainContext,
    accelerator: Accelerator,
    itself: Objective | None,
    rewrite: Callable[[Batch, int], Batch] | None,
) -> TrainingOutcome:
    trainer = Trainer(
        objective,
        Order(examples, spec.held_out, spec.batch, spec.seed),
        spec,
        train_context.folder,
        identity_of(spec, train_context),
        train_context.reporter,
        accelerator,
        rewrite,
        train_context.stop_and_keep,
        train_context.checked,
        train_context.saved,
        itself,
    )
    return trainer.run()


def identity_of(spec: Distil, train_context: TrainContext) -> str:
    """A hash of all that decides the result; a checkpoint of anything else is refused."""
    parts = [
        spec.model_dump(mode="json"),
        train_context.student,
        train_context.teacher,
        train_context.half,
        list(train_context.layers_kept or []),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _describe(outcome: TrainingOutcome, spec: Distil, teacher_outputs: Teacher | None) -> None:
    first, best = outcome.evaluations[0], _at(outcome.evaluations, outcome.best_step)
    words = (
        "Distilled"
        if teacher_outputs is not None
        else "Trained on what the teacher wrote"
        if spec.taught
        else "Fine-tuned"
    )
    outcome.notes.append(
        f"{words} for {outcome.steps:,} steps ({outcome.tokens:,} tokens): the held-out loss went from "
        f"{first.value:.4g} to {best.value:.4g}, at step {best.step:,}, whose weights are kept."
    )
    if isinstance(teacher_outputs, CachedTeacher):
        index = teacher_outputs.index
        how = "with one more outcome for the rest" if spec.cache and spec.cache.tail == "bucket" else "made to sum to 1"
        outcome.notes.append(
            f"The teacher was stored for {len(index.stored):,} of {index.sequences:,} sequences: "
            f"its {index.k} likeliest tokens ({percent(index.mass_covered, 1)} of the probability, "
            f"{index.bytes_per_token:.0f} bytes a token), {how}."
        )
    if outcome.stopped:
        outcome.notes.append(outcome.stopped)


def _at(evaluations: Sequence[Evaluated], step: int) -> Evaluated:
    return next(e for e in evaluations if e.step == step)
