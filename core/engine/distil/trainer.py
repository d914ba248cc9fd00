"""The training loop: draw, learn, watch, evaluate, keep the best, go on after any interruption.

Everything random is a function of the seed and the step, so a run that was stopped anywhere and
resumed ends with the same weights as one that was not (time budgets excepted: there the clock decides).
On several processes each reads its part of every step and the gradients are added up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from core.base.errors import Cancelled
from core.base.progress import Reporter
from core.engine.distil import alarms
from core.engine.distil.batch_sampler import Order, seed_for
from core.engine.distil.batches import Batch
from core.engine.distil.fixed_masks import Zeros
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.parallel import clip, gathered, gradient_norm, like, mean_over_all, shared, sum_gradients
from core.engine.distil.progress_words import TrainingProgress
from core.engine.distil.schedule import fraction_done, learning_rate
from core.engine.distil.state import Checkpoints, Evaluated, TrainState, optimizer_tensors, restore_optimizer
from core.recipe.distil import Distil

_BETAS, _EPSILON = (0.9, 0.95), 1e-8


@dataclass
class TrainingOutcome:
    """How a run ended. The student holds the weights of `best_step`."""

    steps: int
    tokens: int
    seconds: float
    best_step: int
    evaluations: list[Evaluated]
    stopped: str | None = None
    """A sentence where the run was stopped before its budget was used."""
    notes: list[str] = field(default_factory=list)


@dataclass
class Trainer:
    """One run.

    Args:
        objective: student, teacher and losses.
        order: the data.
        spec: budget, schedule, intervals.
        folder: for checkpoints; what it holds of the same run is resumed.
        identity: of the models and settings; a checkpoint with another one, or of other data, is refused.
        rewrite: applied to each step's batch before it is learned from (the student's own texts).
    """

    objective: Objective
    order: Order
    spec: Distil
    folder: Path
    identity: str
    reporter: Reporter
    accelerator: Accelerator
    rewrite: Callable[[Batch, int], Batch] | None = None
    stop_and_keep: Callable[[], bool] = lambda: False
    """Asked before each step; True ends the run and keeps the best weights."""
    checked: Callable[[int], None] = lambda step: None
    """Told the step after each evaluation."""
    saved: Callable[[], None] = lambda: None
    """Called after each checkpoint, by the process that wrote it."""
    teacher_itself: Objective | None = None
    """The teacher in the student's place, for the level it reaches on the held-out text."""

    def __post_init__(self) -> None:
        self._model = self.objective.student.model
        self._names = _trainable(self.objective)
        ratio = self.spec.lora.ratio_for(self.objective.student.task) if self.spec.lora else 1.0
        self._optimizer = _optimizer(self._names, self.spec, ratio)
        # Adapters start at zero and must not stay there; the frozen weights keep theirs by themselves.
        self._zeros = Zeros(self._model) if self.spec.keep_zeros and self.spec.lora is None else None
        self._held = self.order.held()
        identity = f"{self.identity}-{self.order.digest(self._held)}"
        self._checkpoints = Checkpoints(self.folder, identity, lambda said: self.reporter.event("warning", said))
        self._state = TrainState(identity=identity)
        self._watch = TrainingProgress(self.reporter)

    def run(self) -> TrainingOutcome:
        """Trains until the budget is used, the run goes wrong, or its user asks to stop.

        Raises:
            Cancelled: after the checkpoint from which the run can be resumed is written.
            RetortError: nothing counts, the teacher would learn, or a checkpoint is of another run.
        """
        self._resume()
        try:
            stopped = self._loop()
        except Cancelled:
            self._save()
            raise
        best = self._state.best
        if best is not None:
            main = self.accelerator.is_main_process
            self._load(shared(self._checkpoints.load_best(best.step) if main else {}, self.accelerator))
        self._model.eval()
        s = self._state
        return TrainingOutcome(s.step, s.tokens, s.seconds, best.step if best else s.step, s.evaluations, stopped)

    def _loop(self) -> str | None:
        saved = self._state.step
        while True:
            finished = self._fraction() >= 1
            self._evaluate_if_due(finished)
            if self._state.step % self.spec.checkpoint_every == 0 and self._state.step != saved:
                self._save()
                saved = self._state.step
            if finished:
                return None
            self.reporter.checkpoint()
            if self.stop_and_keep():
                self._evaluate_if_due(True)
                return "Stopped on request."
            if reason := self._step():
                self.reporter.event("error", f"{reason} The run was stopped and the best weights are kept.")
                return reason

    def _fraction(self, ahead: float = 0.0) -> float:
        """Share of the budget used, `ahead` steps from now (tokens and time as so far on average)."""
        s = self._state
        grown = 1 + ahead / s.step if s.step else 1.0
        return fraction_done(self.spec.budget, s.step + ahead, s.tokens * grown, s.seconds * grown)

    def _step(self) -> str | None:
        started = time.perf_counter()
        state, objective = self._state, self.objective
        batches = self._draw()
        totals = self._totals(batches)
        self._model.train()
        if state.step % self.spec.evaluate_every == 0:
            self._inspect(batches[0], totals)
        terms: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            torch.manual_seed(seed_for(self.spec.seed, state.step, i, self.accelerator.process_index))
            for name, value in objective.backward(batch, totals).items():
                terms[name] = terms.get(name, torch.zeros_like(value)) + value
        terms = self._across(terms)
        norm = self._clip()
        total = objective.total(terms)
        if reason := alarms.reason_to_stop(state, total, norm):
            return reason
        rate = learning_rate(self._fraction(ahead=0.5), self.spec.schedule)
        self._update(rate)
        tokens = int(self._across({"tokens": torch.tensor(float(sum(b.tokens for b in batches)))})["tokens"])
        seconds = mean_over_all({"seconds": time.perf_counter() - started}, self.accelerator)["seconds"]
        state.step, state.tokens, state.seconds = state.step + 1, state.tokens + tokens, state.seconds + seconds
        values = {name: float(v) for name, v in terms.items()}
        self._watch.step(state, values, total, norm, rate, tokens / seconds, self._fraction())
        return None

    def _draw(self) -> list[Batch]:
        """This process's micro-batches of the coming step."""
        step, ranks = self._state.step, self.accelerator.num_processes
        batch = self.order.step(step, self.accelerator.process_index, ranks)
        if self.rewrite is not None:
            batch = self.rewrite(batch, seed_for(self.spec.seed, step, -3, self.accelerator.process_index))
        if step == 0:
            whole = batch if ranks == 1 else self.order.step(step)
            alarms.nothing_counts([p.loss for p in self.objective.parts], whole)
        return batch.split(self.spec.micro_batch or self.spec.batch)

    def _totals(self, batches: list[Batch]) -> Normalisers:
        own = Normalisers.of(batches)
        if self.accelerator.num_processes == 1:
            return own
        counts = torch.tensor([own.targets, own.scored, own.positions], device=self.accelerator.device)
        return Normalisers(*self.accelerator.reduce(counts, "sum").tolist())

    def _across(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sums over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        return {n: self.accelerator.reduce(v.to(self.accelerator.device), "sum") for n, v in values.items()}

    def _inspect(self, batch: Batch, totals: Normalisers) -> None:
        """How much of the gradient each term gives, measured on one micro-batch; the alarms about it."""
        norms: dict[str, float] = {}
        for part in self.objective.parts:
            torch.manual_seed(seed_for(self.spec.seed, self._state.step, 0))
            self.objective.backward(batch, totals, only=part.name)
            sum_gradients(list(self._names), self.accelerator)
            norms[part.name] = gradient_norm(list(self._names), self.accelerator)
            self._optimizer.zero_grad()
        self._watch.shares(self._state.step, norms)
        alarms.gradient_in_teacher(self.objective.teacher_model)

    def _clip(self) -> float:
        sum_gradients(list(self._names), self.accelerator)
        return clip(list(self._names), self.spec.schedule.clip, self.accelerator)

    def _update(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._zeros:
            self._zeros.restore()

    def _evaluate_if_due(self, finished: bool) -> None:
        state = self._state
        done = state.evaluations[-1].step if state.evaluations else None
        if done == state.step or not (finished or state.step % self.spec.evaluate_every == 0):
            return
        if done is None and self.teacher_itself is not None:
            level = self._terms_held_out(self.teacher_itself)
            self._watch.teacher_level(state.step, level, {p.name: p.weight for p in self.objective.parts})
        started = time.perf_counter()
        self._model.eval()
        terms = self._terms_held_out(self.objective)
        mix = sum(p.weight * terms[p.name] for p in self.objective.parts)
        found = Evaluated(step=state.step, value=mix, terms=terms)
        if state.best is None or (math.isfinite(mix) and mix < state.best.value):
            weights = self._weights()
            if self.accelerator.is_main_process:
                self._checkpoints.save_best(state.step, weights)
            self.accelerator.wait_for_everyone()
        state.evaluations.append(found)
        state.seconds += mean_over_all({"seconds": time.perf_counter() - started}, self.accelerator)["seconds"]
        self._watch.evaluated(found)
        self.checked(state.step)

    def _terms_held_out(self, objective: Objective) -> dict[str, float]:
        """Each watched term on the held-out batch."""
        totals = Normalisers.of([self._held])
        terms: dict[str, float] = {}
        for batch in self._held.split(self.spec.micro_batch or self.spec.batch):
            self.reporter.checkpoint()
            for name, value in objective.value(batch, totals).items():
                terms[name] = terms.get(name, 0.0) + float(value)
        return mean_over_all(terms, self.accelerator)

    def _weights(self) -> dict[str, Tensor]:
        return gathered({name: p.detach() for p, name in self._names.items()}, self.accelerator)

    @torch.no_grad()
    def _load(self, weights: dict[str, Tensor]) -> None:
        for parameter, name in self._names.items():
            parameter.copy_(like(weights[name], parameter))

    def _save(self) -> None:
        weights = self._weights()
        optimizer = gathered(optimizer_tensors(self._optimizer, self._names), self.accelerator)
        if self.accelerator.is_main_process:
            self._checkpoints.save(self._state, weights, optimizer)
            self.saved()
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        found = shared(self._checkpoints.latest() if self.accelerator.is_main_process else None, self.accelerator)
        if found is None:
            return
        self._state, weights, optimizer = found
        self._load(weights)
        restore_optimizer(self._optimizer, self._names, optimizer)
        self.reporter.event("info", f"Resumed after step {self._state.step}.")


def _trainable(objective: Objective) -> dict[nn.Parameter, str]:
    """Everything that learns, tied weights once: the student, and the projections of the feature losses."""
    found = {p: name for name, p in objective.student.model.named_parameters() if p.requires_grad}
    if objective.features is not None:
        found |= {p: f"projections.{n}" for n, p in objective.features.projections.named_parameters()}
    return found


def _optimizer(names: dict[nn.Parameter, str], spec: Distil, ratio: float) -> torch.optim.Optimizer:
    """AdamW; only matrices decay (Loshchilov and Hutter 2019).

    `ratio`: how many times faster than the rest the second matrix of each adapter learns, which starts at zero
    (Hayou et al. 2024, LoRA+).
    """
    decay, rate = spec.schedule.weight_decay, spec.schedule.learning_rate
    groups: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    for parameter, name in names.items():
        scale = ratio if "lora_B" in name else 1.0
        # A fused step takes whole tensors or parts, not both.
        groups.setdefault((parameter.ndim >= 2, isinstance(parameter, DTensor), scale), []).append(parameter)
    settings = [
        {"params": parameters, "weight_decay": decay if matrix else 0.0, "scale": scale}
        for (matrix, _, scale), parameters in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=rate, betas=_BETAS, eps=_EPSILON, fused=True)
