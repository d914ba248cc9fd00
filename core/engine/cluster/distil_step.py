"""A distillation by Ray Train: one worker a device, gradients added up over all of them once a step."""

from __future__ import annotations

import importlib
import logging
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import torch

from core.base.errors import Cancelled, RetortError
from core.base.settings import Settings
from core.cluster.check import ask
from core.cluster.connection import DEVICE, START_NODE, connected
from core.cluster.nodes import devices, graphics_each
from core.cluster.transfer import archive_name, pack
from core.engine.cluster.training import TrainingTask, train
from core.engine.cluster.training_mailbox import Mailbox
from core.engine.distil.batches import Examples
from core.engine.distil.fit import check_fit
from core.engine.distil.run import TrainContext
from core.engine.distil.trainer import TrainingOutcome
from core.engine.models.load import Loaded, load_model
from core.engine.models.save import save_model
from core.recipe.distil import Distil

logger = logging.getLogger("retort")
_LOOK, _ANSWER_SECONDS = 0.5, 30.0


class ClusterTraining:
    """Trains as `core.engine.distil.run.distil` does, on the workers of a cluster.

    Args:
        shard: each worker keeps a part of the student's blocks, for models larger than one node's memory.
    """

    def __init__(self, settings: Settings, shard: bool = False) -> None:
        self._settings = settings
        self._shard = shard

    def __call__(
        self, student: Loaded, teacher: Loaded | None, spec: Distil, examples: Examples, train_context: TrainContext
    ) -> TrainingOutcome:
        """Trains `student.model` in place. A lost worker's training starts again at the last checkpoint.

        Raises:
            RetortError: the step cannot be done on a cluster, no device is there, or workers were lost too often.
            Cancelled: the user asked to stop; a checkpoint came home.
        """
        check_fit(student, teacher, spec, examples)
        refuse_local_only(spec, examples, self._shard)
        scratch = train_context.folder.with_name(f"{train_context.folder.name}-cluster")
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with connected(self._settings) as ray:
                outcome = self._train(ray, student, teacher, spec, examples, train_context, scratch)
            trained = load_model(scratch / "trained", _name(student.dtype))
            student.model.load_state_dict(trained.model.state_dict())
            student.model.eval()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return outcome

    def _train(
        self,
        ray: Any,
        student: Loaded,
        teacher: Loaded | None,
        spec: Distil,
        examples: Examples,
        train_context: TrainContext,
        scratch: Path,
    ) -> TrainingOutcome:
        # The student may be designed, or have got a head just now: what is in memory is what is sent.
        save_model(student.model, student.tokenizer, scratch / "student", {})
        sent = TrainingTask(
            spec=spec,
            examples=examples,
            student=pack(ray, archive_name("student", uuid.uuid4().hex), {"model": scratch / "student"}),
            teacher=pack(ray, archive_name("model", train_context.teacher), {"model": teacher.folder})
            if teacher
            else None,
            student_print=train_context.student,
            teacher_print=train_context.teacher,
            dtype=_name(student.dtype),
            half=train_context.half,
            layers_kept=train_context.layers_kept,
            shard=self._shard,
        )
        task = ray.put(sent)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        mailbox = (
            ray.remote(Mailbox)
            .options(num_cpus=0, scheduling_strategy=here)
            .remote(str(train_context.folder), str(scratch / "trained"))
        )
        for attempt in range(1, self._settings.limits.attempts + 1):
            error = self._attempt(ray, task, mailbox, spec, train_context, scratch)
            outcome: TrainingOutcome | None = ray.get(mailbox.outcome.remote())
            if outcome is not None:
                return outcome
            if error is None:
                raise Cancelled
            _raise_unless_lost(error)
            logger.warning("training attempt %d was lost: %s", attempt, error)
            train_context.reporter.event("warning", "A worker was lost, so training goes on from the last checkpoint.")
        raise RetortError(
            f"Workers of this training were lost {self._settings.limits.attempts} times.",
            "Most likely memory ran out there: use smaller micro-batches or nodes with more memory, then resume.",
        )

    def _attempt(
        self, ray: Any, task: Any, mailbox: Any, spec: Distil, train_context: TrainContext, scratch: Path
    ) -> Exception | None:
        """One training with the devices there are now; None where it ended by itself or was cancelled."""
        found = [asked.node for asked in ask(ray, _ANSWER_SECONDS) if asked.found is not None]
        workers = min(devices(found), spec.batch)
        while self._shard and workers > 1 and spec.batch % workers:
            workers -= 1  # parts of blocks meet in every micro-batch, so all workers must have equally many
        if workers == 0:
            raise RetortError(
                f"No node of the cluster offers a '{DEVICE}'.", f"Start a node with: {START_NODE}, then resume the run."
            )
        train_context.reporter.event(
            "info", f"Training on {workers} worker{'s' if workers > 1 else ''}.", workers=workers
        )
        trainer = _trainer(workers, bool(graphics_each(found)), {"task": task, "mailbox": mailbox}, scratch)
        failures: list[Exception] = []
        thread = threading.Thread(target=_fit, args=(trainer, failures), name="ray-train", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK)
            for method, arguments, more in ray.get(mailbox.heard.remote()):
                getattr(train_context.reporter, method)(*arguments, **more)
            if train_context.stop_and_keep():
                ray.get(mailbox.wish.remote("keep"))
            try:
                train_context.reporter.checkpoint()
            except Cancelled:
                ray.get(mailbox.wish.remote("stop"))
        return failures[0] if failures else None


def refuse_local_only(spec: Distil, examples: Examples, shard: bool) -> None:
    """What the workers cannot share (yet)."""
    for given, what in (
        (spec.cache, "'cache'"),
        (spec.teacher_texts, "'teacher_texts'"),
        (examples.count is None, "'streaming'"),
        (shard and spec.lora, "'lora'"),
        (shard and spec.on_policy, "'on_policy'"),
        (shard and spec.gradient_checkpointing, "'gradient_checkpointing'"),
        (shard and any(t.described.group == "feature" for t in spec.losses), "losses on hidden states"),
    ):
        if given:
            raise RetortError(
                f"Training on a cluster does not share {what} between its workers.",
                f"Leave out {what}, or use 'executor: local'.",
            )


def _trainer(workers: int, graphics: bool, task: dict[str, Any], scratch: Path) -> Any:
    api = importlib.import_module("ray.train")
    by_torch = importlib.import_module("ray.train.torch")
    # Ray would wait for the lost node to come back; here those that are left go on.
    failures = api.FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0)
    return by_torch.TorchTrainer(
        train,
        train_loop_config=task,
        torch_config=by_torch.TorchConfig(backend="nccl" if graphics else "gloo"),
        scaling_config=api.ScalingConfig(
            num_workers=workers,
            use_gpu=graphics,
            placement_strategy="SPREAD",
            resources_per_worker={"CPU": 1, DEVICE: 1, **({"GPU": 1} if graphics else {})},
        ),
        run_config=api.RunConfig(name="training", storage_path=str(scratch / "train"), failure_config=failures),
    )


def _fit(trainer: Any, failures: list[Exception]) -> None:
    try:
        trainer.fit()
    except Exception as error:
        failures.append(error)


def _raise_unless_lost(error: Exception) -> None:
    """Raises what a worker itself raised. A lost one shows as Ray's error, to the others as a broken connection."""
    failures = list(getattr(error, "worker_failures", {}).values())
    causes = [cause if isinstance(cause := getattr(one, "cause", None), Exception) else one for one in failures]
    lost = [c for c in causes if isinstance(c, RuntimeError | OSError) or type(c).__module__.startswith("ray.")]
    if causes and not lost:
        raise next((c for c in causes if isinstance(c, RetortError)), causes[0])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
