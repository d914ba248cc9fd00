"""A recipe's steps, one after the other: each model that comes out is a candidate that is kept.

Every stage starts from the saved model of the stage before it, so a run that was stopped goes on at
the first stage without a result, and each intermediate model can be compared and taken away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalogue.references import RUN_RESULT
from core.engine.bench import Bench, Wanted
from core.engine.export.write import export
from core.engine.models.load import Loaded, load_model
from core.engine.prune.report import PruneReport
from core.engine.quantise import quantise
from core.engine.session import Session
from core.engine.teach import Lesson, Saved, teach
from core.engine.transform import Source, apply, calibrated, needed, statistics_for
from core.errors import RetortError
from core.export_check import refuse_impossible, refuse_quantise
from core.exports import EXPORTS
from core.recipes import Distil, Evaluate, Export, Measure, Prune, Quantise, Recipe, Step
from core.results import Result, Trial, trial_key

Changing = Prune | Distil | Quantise


@dataclass(frozen=True)
class Stage:
    """A step that changes the model (None: the model as it came), and what is done with what it yields."""

    trial: Trial
    wanted: Wanted
    exports: tuple[Export, ...]

    @property
    def aside(self) -> bool:
        """True for a stage the next one does not start from."""
        return self.trial.quantise is not None and self.trial.quantise.of == "baseline"


def stages_of(recipe: Recipe, fingerprint: str) -> list[Stage]:
    """The stages of a recipe. What one stage measures the baseline measures too, or nothing could be compared.

    A stage's key covers all steps before it.
    """
    groups: list[list[Step]] = [[]]
    for step in recipe.steps:
        if isinstance(step, Prune | Distil | Quantise):
            groups.append([])
        groups[-1].append(step)
    quality, cost = (any(isinstance(s, kind) for s in recipe.steps) for kind in (Evaluate, Measure))
    stages: list[Stage] = []
    main: list[Changing] = []
    for index, group in enumerate(groups):
        first = group[0] if group else None
        chain = main
        if isinstance(first, Quantise) and first.of == "baseline":
            chain = [first]
        elif isinstance(first, Prune | Distil | Quantise):
            main.append(first)
        wanted = Wanted(
            quality=quality if index == 0 else any(isinstance(s, Evaluate) for s in group),
            cost=cost if index == 0 else any(isinstance(s, Measure) for s in group),
        )
        label = " + ".join(p.label() for p in chain) if chain else "Dense baseline"
        key = _key(recipe, fingerprint, chain, wanted)
        exports = tuple(s for s in group if isinstance(s, Export))
        trial = Trial(
            index=index,
            key=key,
            label=label,
            prune=first if isinstance(first, Prune) else None,
            distil=first if isinstance(first, Distil) else None,
            quantise=first if isinstance(first, Quantise) else None,
        )
        stages.append(Stage(trial, wanted, exports))
    return stages


def _key(recipe: Recipe, fingerprint: str, chain: Sequence[Changing], wanted: Wanted) -> str:
    steps = json.dumps([p.model_dump(mode="json") for p in chain], sort_keys=True)
    whole = f"{trial_key(recipe, fingerprint, None)} {recipe.calibration.model_dump_json()} {steps} {wanted}"
    return hashlib.sha256(whole.encode()).hexdigest()[:24]


def run_steps(session: Session) -> None:
    """Runs the stages that have no result yet, then writes the exports.

    Raises:
        RetortError: a step cannot be done; the stages before it keep their results.
        Cancelled: the user asked to stop.
    """
    hooks = session.hooks
    refuse_impossible(session.recipe, session.resolved.folder, hooks.settings)
    stages = stages_of(session.recipe, session.resolved.fingerprint)
    hooks.register_trials([s.trial for s in stages])
    session.reporter.total = len(stages)
    start = Saved(session.resolved.folder, session.resolved.fingerprint)
    with session.bench(any(_calibrated(s.trial) for s in stages)) as bench:
        current, facts = start, list[dict[str, Any]]()
        for stage in stages:
            session.reporter.checkpoint()
            with session.part(stage.trial):
                result = _result(session, bench, stage, start, current, facts)
            bench.baseline = bench.baseline or result
            made = start
            if not stage.trial.dense:
                made = Saved(hooks.candidate_folder(result.key) / "model", result.key)
            if not stage.aside:
                current = made
                facts.append(result.facts)
            for step in stage.exports:
                with session.part(stage.trial, counts=False):
                    _export(session, step, made, stage.trial)
        if current is not start:
            _write_result(hooks.run_folder, current.fingerprint)


def _calibrated(trial: Trial) -> bool:
    if trial.distil is not None:
        return trial.distil.design is not None
    return trial.prune is not None and calibrated(trial.prune)


def _result(
    session: Session, bench: Bench, stage: Stage, start: Saved, current: Saved, facts: Sequence[dict[str, Any]]
) -> Result:
    """The stage's result: found again, or made now."""
    hooks, trial = session.hooks, stage.trial
    known = hooks.finished(trial.key)
    if known is None or not (trial.dense or known.saved):
        hooks.trial_started(trial.index)
        try:
            known = _stage(session, bench, stage, start, current, facts)
        except RetortError as error:
            hooks.trial_failed(trial.index, error)
            raise
    hooks.trial_done(trial.index, known)
    return known


def _stage(
    session: Session, bench: Bench, stage: Stage, start: Saved, current: Saved, facts: Sequence[dict[str, Any]]
) -> Result:
    trial, recipe = stage.trial, session.recipe
    if trial.dense:
        return bench.dense_candidate(trial, load_model(start.folder, recipe.dtype), stage.wanted)
    if trial.quantise is not None:
        current = start if stage.aside else current
        refuse_quantise(current.folder)
        candidate, report = quantise(current.folder, recipe.dtype, session.reporter)
    elif trial.distil is not None:
        lesson = Lesson(
            spec=trial.distil,
            baseline=start,
            current=current,
            facts=facts,
            dtype=recipe.dtype,
            windows=bench.inputs.calibration,
            checkpoints=session.hooks.run_folder / "checkpoints" / trial.key,
            run_folder=session.hooks.run_folder,
        )
        candidate, report = teach(lesson, session.hooks.settings, session.reporter)
    else:
        candidate, report = _prune(session, bench, trial, current)
    bench.dense = load_model(start.folder, recipe.dtype) if stage.wanted.cost else None
    parent = None if current == start else current.fingerprint
    return bench.candidate(trial, candidate, report, keep=True, wanted=stage.wanted, parent=parent)


def _prune(session: Session, bench: Bench, trial: Trial, current: Saved) -> tuple[Loaded, PruneReport]:
    assert trial.prune is not None
    loaded = load_model(current.folder, session.recipe.dtype)
    source = Source(loaded, current.fingerprint, bench.inputs.calibration)
    statistics = statistics_for(
        source, needed([trial.prune]), session.recipe.calibration, session.hooks.settings, session.reporter
    )
    return apply(source, trial.prune, statistics, session.reporter)


def _write_result(run_folder: Path, key: str) -> None:
    """Says what `run:RUN` stands for."""
    partial = run_folder / f".{RUN_RESULT}.partial"
    partial.write_text(json.dumps({"candidate": key}))
    partial.replace(run_folder / RUN_RESULT)


def _export(session: Session, step: Export, made: Saved, trial: Trial) -> None:
    """Puts the model where the user finds it: `exports/` in the run's folder."""
    chosen = EXPORTS[step.format]
    target = session.hooks.run_folder / "exports" / f"{trial.index}-{step.format}"
    facts = export(chosen, made.folder, target, made.fingerprint, session.reporter)
    found = facts.get("max_logit_difference")
    checked = "" if found is None else f" Largest logit difference: {found:.2g}."
    session.reporter.event("info", f"Exported as {chosen.label}.{checked}", folder=str(target), **facts)
