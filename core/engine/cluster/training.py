"""A worker's side of a distillation: the same training loop as on one machine, on a part of every step's batch."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from core.base.durable_files import put_in_place
from core.base.errors import Cancelled
from core.base.private_files import keep_private
from core.base.progress import Level
from core.cluster.connection import library
from core.cluster.transfer import Archive, archive_name, node_cache, pack, received, unpack
from core.engine.cluster.training_mailbox import Said
from core.engine.distil.batches import Examples
from core.engine.distil.parallel import whole
from core.engine.distil.run import TrainContext, distil
from core.engine.models.load import Loaded, load_model
from core.engine.models.save import save_model
from core.engine.run.distil_step import Samples, sample_prompt
from core.recipe.distil import Distil

_EVERY = 0.5
"""Seconds between two looks for a wish, and between two deliveries of messages."""


@dataclass(frozen=True)
class TrainingTask:
    """All that the workers of one distillation share.

    Attributes:
        examples: the training sequences, tokenised.
        student, teacher: the models' folders (inside the archive: `model`), and the bytes' fingerprints.
        dtype: of the student's weights before and after.
    """

    spec: Distil
    examples: Examples
    student: Archive
    teacher: Archive | None
    student_print: str
    teacher_print: str
    dtype: str
    half: bool
    layers_kept: Sequence[int] | None
    shard: bool


def train(config: dict[str, Any]) -> None:
    """What each worker of Ray Train runs. `config`: a reference to the `TrainingTask`, and the mailbox."""
    keep_private()
    ray = library()
    task: TrainingTask = ray.get(config["task"])
    first = distributed.get_rank() == 0
    reporter = WorkerReporter(config["mailbox"] if first else None)
    scratch = Path(tempfile.mkdtemp(prefix="training-", dir=node_cache(ray.get_runtime_context().get_node_id())))
    try:
        _train(ray, task, config["mailbox"], scratch, reporter, first)
    except Cancelled:
        return  # a checkpoint went home, and the mailbox has no outcome
    finally:
        reporter.flush()
        shutil.rmtree(scratch, ignore_errors=True)


def _train(ray: Any, task: TrainingTask, mailbox: Any, scratch: Path, reporter: WorkerReporter, first: bool) -> None:
    cache = node_cache(ray.get_runtime_context().get_node_id())
    folders = [received(ray, p, cache)[0] / "model" if p else None for p in (task.student, task.teacher)]
    assert folders[0] is not None
    student = load_model(folders[0], task.dtype)
    teacher = load_model(folders[1], task.dtype) if folders[1] else None
    train_context = TrainContext(
        folder=scratch / "checkpoints",
        cache=scratch,
        reporter=reporter,
        student=task.student_print,
        teacher=task.teacher_print,
        half=task.half,
        layers_kept=task.layers_kept,
        stop_and_keep=lambda: reporter.keep,
        shard=task.shard,
    )
    if first:
        known: Archive | None = ray.get(mailbox.checkpoint.remote())
        if known is not None:
            unpack(ray, known, scratch / "known")
            put_in_place(scratch / "known" / "checkpoints", train_context.folder, flush=False)
        train_context.saved = lambda: ray.get(
            mailbox.keep_checkpoint.remote(_packed(ray, "checkpoints", train_context.folder))
        )
        # A text is written by the first worker alone, which of sharded weights has only parts.
        if student.task == "causal" and task.examples.count and not task.shard:
            train_context.checked = Samples(student, teacher, sample_prompt(task.examples), reporter).write
    outcome = distil(student, teacher, task.spec, task.examples, train_context)
    if task.shard:
        student = _put_together(student, folders[0], task.dtype)
    if first:
        save_model(student.model, student.tokenizer, scratch / "student", {})
        ray.get(mailbox.finish.remote(_packed(ray, "student", scratch / "student"), outcome))


def _put_together(student: Loaded, folder: Path, dtype: str) -> Loaded:
    """The student with whole weights; every worker takes part."""
    fresh = load_model(folder, dtype)
    own = dict(fresh.model.named_parameters())
    with torch.no_grad():
        for name, parameter in student.model.named_parameters():
            own[name].copy_(whole(parameter))
    return fresh


def _packed(ray: Any, inside: str, folder: Path) -> Archive:
    return pack(ray, archive_name(inside, str(folder)), {inside: folder})


class WorkerReporter:
    """Speaks to the mailbox for the first worker, and for no other; every worker stops at the same step."""

    def __init__(self, mailbox: Any | None) -> None:
        self.keep = False
        self._mailbox = mailbox
        self._said: list[Said] = []
        self._looked = self._delivered = time.monotonic()
        self._wishes: set[str] = set()

    def progress(self, done: float, total: float, message: str) -> None:
        self._say("progress", done, total, message)

    def event(self, level: Level, message: str, **data: Any) -> None:
        self._say("event", level, message, **data)

    def series(self, name: str, step: int, value: float) -> None:
        self._say("series", name, step, value)

    def checkpoint(self) -> None:
        """Called by all workers alike. Raises `Cancelled` on all of them, or on none."""
        if self._mailbox is not None and time.monotonic() - self._looked >= _EVERY:
            self._looked = time.monotonic()
            self._wishes = library().get(self._mailbox.wishes.remote())
        flags = torch.tensor([float(w in self._wishes) for w in ("stop", "keep")])
        if distributed.get_backend() == "nccl":
            flags = flags.cuda()
        distributed.broadcast(flags, 0)
        stop, self.keep = (bool(f) for f in flags.tolist())
        if stop:
            raise Cancelled

    def flush(self) -> None:
        """Delivers what is held back."""
        if self._mailbox is not None and self._said:
            library().get(self._mailbox.say.remote(self._said))
            self._said = []
        self._delivered = time.monotonic()

    def _say(self, method: str, *arguments: Any, **more: Any) -> None:
        if self._mailbox is not None:
            self._said.append((method, arguments, more))
            if time.monotonic() - self._delivered >= _EVERY:
                self.flush()
