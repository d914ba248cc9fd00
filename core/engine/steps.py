"""A recipe's steps, one after the other: each model that comes out is a candidate that is kept.

Every stage starts from the saved model of the stage before it, so a run that was stopped goes on at
the first stage without a result, and each intermediate model can be compared and taken away.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalogue.references import RUN_RESULT
from core.engine.bench import Bench, Wanted
from core.engine.models.load import Loaded, load_model
from core.engine.prune.report import PruneReport
from core.engine.session import Session
from core.engine.teach import Lesson, Saved, teach
from core.engine.transform import Source, apply, calibrated, needed, statistics_for
from core.errors import RetortError
from core.recipes import Distil, Evaluate, Export, Measure, Prune, Recipe, Step
from core.results import Result, Trial, trial_key


@dataclass(frozen=True)
class Stage:
    """A step that changes the model (None: the model as it came), and what is done with what it yields."""

    trial: Trial
    wanted: Wanted
    exports: tuple[Export, ...]


def stages_of(recipe: Recipe, fingerprint: str) -> list[Stage]:
    """The stages of a recipe. What one stage measures the baseline measures too, or nothing could be compared.

    A stage's key covers all steps before it.
    """
    groups: list[list[Step]] = [[]]
    for step in recipe.steps:
        if isinstance(step, Prune | Distil):
            groups.append([])
        groups[-1].append(step)
    quality, cost = (any(isinstance(s, kind) for s in recipe.steps) for kind in (Evaluate, Measure))
    stages: list[Stage] = []
    chain: list[Prune | Distil] = []
    for index, group in enumerate(groups):
        first = group[0] if group else None
        if isinstance(first, Prune | Distil):
            chain.append(first)
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
        )
        stages.append(Stage(trial, wanted, exports))
    return stages


def _key(recipe: Recipe, fingerprint: str, chain: list[Prune | Distil], wanted: Wanted) -> str:
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
            facts.append(result.facts)
            if not stage.trial.dense:
                current = Saved(hooks.candidate_folder(result.key) / "model", result.key)
            for export in stage.exports:
                _export(session, export, current.folder, stage.trial)
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
    if trial.distil is not None:
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


def _export(session: Session, export: Export, folder: Path, trial: Trial) -> None:
    """Puts the model where the user finds it: `exports/` in the run's folder."""
    target = session.hooks.run_folder / "exports" / f"{trial.index}-{export.format}"
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    session.reporter.event("info", f"Exported {trial.label} as a Hugging Face folder.", folder=str(target))
