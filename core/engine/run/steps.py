"""A recipe's steps, one after the other: each model that comes out is a candidate that is kept.

Every stage starts from the saved model of the stage before it, so a run that was stopped goes on at
the first stage without a result, and each intermediate model can be compared and taken away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.integrity import write_sealed
from core.catalogue.export_check import refuse_quantise
from core.catalogue.fingerprint import folder_fingerprint
from core.catalogue.references import RUN_RESULT
from core.engine.distil.beforehand import check_training_texts
from core.engine.distil.run import distil
from core.engine.export.write import export
from core.engine.models.load import Loaded, load_model
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.quantise import quantise
from core.engine.run.candidate import CandidateMeasurer
from core.engine.run.distil_step import DistilTask, Saved, Train, distil_step
from core.engine.run.prune_step import Source, apply, needed, spread_by, statistics_for
from core.engine.run.session import Session
from core.engine.run.stages import Changing, Stage, stages_of
from core.engine.run.trim_step import trim_step
from core.recipe import labels
from core.recipe.recipe import Export, Prune, Select
from core.recipe.results import Result, Trial
from core.registry.formats import EXPORTS
from core.registry.measurement import find_metric

logger = logging.getLogger("retort")


@dataclass(frozen=True)
class StageOutput:
    """A model on its way: where it is saved, and the facts of the steps that led to it, in order."""

    saved: Saved
    facts: tuple[dict[str, Any], ...] = ()
    result: Result | None = None

    @property
    def loss(self) -> float:
        """Loss per token; infinite where it was not measured."""
        found = find_metric(self.result.measurements if self.result else (), "loss")
        return found.value if found else float("inf")


@dataclass
class Selection:
    """The options of a `select` and what became of the best of them."""

    options: list[StageOutput] = field(default_factory=list)
    recovered: list[StageOutput] = field(default_factory=list)
    failed: list[RetortError] = field(default_factory=list)

    def ranked(self) -> list[StageOutput]:
        return sorted(self.options, key=lambda made: made.loss)

    def winner(self) -> StageOutput:
        return min(self.recovered, key=lambda made: made.loss)

    def verdict(self) -> str:
        """Who won, and whether recovery changed the order."""
        winner = self.winner()
        place = self.recovered.index(winner) + 1
        assert winner.result is not None
        won = f"After recovery '{winner.result.label}' is best"
        return f"{won}: it was number {place} before." if place > 1 else f"{won}, as it was before."


def run_steps(session: Session, train: Train = distil) -> None:
    """Runs the stages that have no result yet, then writes the exports.

    Args:
        train: where a student learns: in this process, or on the workers of a cluster.

    Raises:
        RetortError: a step cannot be done; the stages before it keep their results.
        Cancelled: the user asked to stop.
    """
    hooks, identity = session.hooks, session.identity
    stages = stages_of(session.recipe, identity, partial(_spread_by, session))
    hooks.register_trials([s.trial for s in stages])
    session.reporter.total = len(stages)
    with session.bench(any(_calibrated(s.trial) for s in stages)) as bench:
        judged = any(s.wanted.quality for s in stages)
        windows = bench.inputs.evaluation if judged else ()
        texts = session.loaded.tokenizer.batch_decode(windows)
        check_training_texts(
            session.recipe, session.loaded.tokenizer, texts, hooks.settings, hooks.actor, session.reporter
        )
        line = _StageRunner(session, bench, StageOutput(Saved(session.resolved.folder)), train)
        for stage in stages:
            session.reporter.checkpoint()
            with session.part(stage.trial):
                made = line.run(stage)
            if made is None:
                continue
            for step in stage.exports:
                with session.part(stage.trial, counts=False):
                    _export(session, step, made.saved, stage.trial)
    if line.current is not line.start:
        _write_result(hooks.run_folder, line.current.saved.key)


class _StageRunner:
    """The model the next stage starts from, and how a stage moves it on."""

    def __init__(self, session: Session, bench: CandidateMeasurer, start: StageOutput, train: Train) -> None:
        self.train = train
        self.session, self.bench = session, bench
        self.start = self.current = start
        self.contest = Selection()
        self.steps: list[StageOutput] = []

    def run(self, stage: Stage) -> StageOutput | None:
        """Runs a stage (or finds its result) and returns the model it stands for: after a `select`, the winner.

        An option of a `select`, or its recovery, that fails is recorded and leaves the choice to the others: None.
        """
        if stage.role not in ("option", "recovery"):
            return self._run(stage)
        try:
            return self._run(stage)
        except RetortError as error:
            logger.info("%s failed", stage.trial.label, exc_info=error)
            self.contest.failed.append(error)
        return self._decide() if stage.last else None

    def _run(self, stage: Stage) -> StageOutput:
        trial, before = stage.trial, self._before(stage)
        result = self._result(stage, trial, before)
        self.bench.remember(result)
        if trial.dense:
            return self.start
        folder = self.session.hooks.candidate_folder(result.key) / "model"
        made = StageOutput(Saved(folder, result.key), (*before.facts, result.facts), result)
        if stage.role == "step":
            self.current = made
            self.steps.append(made)
        elif stage.role == "option":
            self.contest.options.append(made)
        elif stage.role == "recovery":
            self.contest.recovered.append(made)
            if stage.last:
                return self._decide()
        return made

    def _named(self, stage: Stage, before: StageOutput, facts: dict[str, Any]) -> Trial:
        """The trial with the label of what was done: the plan knows neither a winner nor an early end."""
        trial = stage.trial
        assert trial.step is not None
        named, dense = "", self.bench.baseline
        if before.result is not None:
            named = before.result.label
            shape = labels.shape(before.result.facts, dense.facts) if stage.role == "recovery" and dense else ""
            named += f" ({shape})" if shape else ""
        label = labels.joined(named, labels.done(trial.step, facts), trial.step.name)
        return trial.model_copy(update={"label": label})

    def _before(self, stage: Stage) -> StageOutput:
        if stage.role == "recovery":
            return self._ranked(stage)
        return self.start if stage.role == "aside" else self.current

    def _ranked(self, stage: Stage) -> StageOutput:
        """The option this recovery starts from. Raises RetortError where so many options could not be measured."""
        ranked = self.contest.ranked()
        if stage.rank < len(ranked):
            return ranked[stage.rank]
        self.session.hooks.trial_started(stage.trial.index)
        error = RetortError(
            f"Of the options, {len(ranked)} could be measured, so there is no {stage.rank + 1} to recover.",
            "Do what the options that failed say.",
        )
        self.session.hooks.trial_failed(stage.trial.index, error)
        raise error

    def _decide(self) -> StageOutput:
        """Goes on with the winner. Raises RetortError where no option could be measured and recovered."""
        if not self.contest.recovered:
            raise self.contest.failed[0]
        self.session.reporter.event("info", self.contest.verdict())
        self.current, self.contest = self.contest.winner(), Selection()
        self.steps.append(self.current)
        return self.current

    def _result(self, stage: Stage, trial: Trial, before: StageOutput) -> Result:
        """The stage's result: found again, or made now."""
        hooks = self.session.hooks
        known = hooks.finished(trial.key)
        if known is None or not (trial.dense or known.saved):
            hooks.trial_started(trial.index)
            try:
                known = self._make(stage, trial, before)
            except RetortError as error:
                hooks.trial_failed(trial.index, error)
                raise
        hooks.trial_done(trial.index, known)
        return known

    def _make(self, stage: Stage, trial: Trial, before: StageOutput) -> Result:
        dtype = self.session.recipe.dtype
        if trial.dense:
            return self.bench.dense_candidate(trial, load_model(self.start.saved.folder, dtype), stage.wanted)
        if stage.wanted.quality:
            self.bench.know(self.session.loaded)
            self.bench.predictions.model = self.session.loaded.model
        candidate, report = self._changed(trial, before)
        trial = self._named(stage, before, report.facts)
        self.bench.dense = load_model(self.start.saved.folder, dtype) if stage.wanted.cost else None
        return self.bench.candidate(
            trial, candidate, report, keep=True, wanted=stage.wanted, parent=before.saved.key or None
        )

    def _changed(self, trial: Trial, before: StageOutput) -> tuple[Loaded, PruneReport]:
        session = self.session
        if trial.quantise is not None:
            refuse_quantise(before.saved.folder)
            return quantise(before.saved.folder, session.recipe.dtype, session.reporter)
        if trial.trim is not None:
            return trim_step(before.saved.folder, trial.trim, self.bench, session.reporter)
        if trial.distil is None:
            return _prune(session, self.bench, trial, before.saved)
        task = DistilTask(
            spec=trial.distil,
            baseline=self.start.saved,
            current=before.saved,
            facts=before.facts,
            dtype=session.recipe.dtype,
            windows=self.bench.calibration,
            checkpoints=session.hooks.run_folder / "checkpoints" / trial.key,
            run_folder=session.hooks.run_folder,
            teacher=self._teacher(trial.distil.earlier_step),
        )
        return distil_step(task, session.hooks.settings, session.hooks.actor, session.reporter, self.train)

    def _teacher(self, step: int | None) -> tuple[Saved, int] | None:
        if step is None:
            return None
        made = self.steps[step - 1]
        return made.saved, len(made.facts)


def _spread_by(session: Session, steps: Sequence[Changing]) -> list[str]:
    first, later = _prunes(steps[:1]), _prunes(steps[1:])
    return spread_by(first, later, session.resolved.fingerprint, session.hooks.settings)


def _prunes(steps: Sequence[Changing]) -> list[Prune]:
    """The prunings among steps, options of a `select` included."""
    options = [o for s in steps if isinstance(s, Select) for o in s.options]
    return [*(s for s in steps if isinstance(s, Prune)), *options]


def _calibrated(trial: Trial) -> bool:
    if trial.distil is not None:
        return trial.distil.design is not None
    return trial.prune is not None and trial.prune.calibrated


def _prune(session: Session, bench: CandidateMeasurer, trial: Trial, current: Saved) -> tuple[Loaded, PruneReport]:
    assert trial.prune is not None
    loaded = load_model(current.folder, session.recipe.dtype)
    source = Source(loaded, folder_fingerprint(current.folder, session.hooks.settings), bench.calibration(loaded))
    statistics = statistics_for(source, needed([trial.prune]), session.hooks.settings, session.reporter)
    return apply(source, trial.prune, statistics, session.reporter, session.hooks.settings)


def _write_result(run_folder: Path, key: str) -> None:
    """Says what `run:RUN` stands for."""
    write_sealed(run_folder / RUN_RESULT, json.dumps({"candidate": key}))


def _export(session: Session, step: Export, made: Saved, trial: Trial) -> None:
    """Puts the model where the user finds it: `exports/` in the run's folder."""
    chosen = EXPORTS[step.format]
    target = session.hooks.run_folder / "exports" / f"{trial.index}-{step.format}"
    source = folder_fingerprint(made.folder, session.hooks.settings)
    facts = export(chosen, made.folder, target, source, session.reporter)
    found = facts.get("max_logit_difference")
    checked = "" if found is None else f" Largest logit difference: {found:.2g}."
    session.reporter.event("info", f"Exported as {chosen.label}.{checked}", folder=str(target), **facts)
