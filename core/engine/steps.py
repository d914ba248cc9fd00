"""A recipe's steps, one after the other: each model that comes out is a candidate that is kept.

Every stage starts from the saved model of the stage before it, so a run that was stopped goes on at
the first stage without a result, and each intermediate model can be compared and taken away.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from core.engine.bench import Bench, Wanted
from core.engine.models.load import Loaded, load_model
from core.engine.session import Session
from core.engine.transform import Source, apply, calibrated, needed, statistics_for
from core.errors import RetortError
from core.recipes import Evaluate, Export, Measure, Prune, Recipe
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
    groups: list[list[Prune | Evaluate | Measure | Export]] = [[]]
    for step in recipe.steps:
        if isinstance(step, Prune):
            groups.append([])
        groups[-1].append(step)
    quality, cost = (any(isinstance(s, kind) for s in recipe.steps) for kind in (Evaluate, Measure))
    stages: list[Stage] = []
    chain: list[Prune] = []
    for index, group in enumerate(groups):
        prune = group[0] if group and isinstance(group[0], Prune) else None
        if prune is not None:
            chain.append(prune)
        wanted = Wanted(
            quality=quality if index == 0 else any(isinstance(s, Evaluate) for s in group),
            cost=cost if index == 0 else any(isinstance(s, Measure) for s in group),
        )
        label = " + ".join(p.label() for p in chain) if chain else "Dense baseline"
        key = _key(recipe, fingerprint, chain, wanted)
        exports = tuple(s for s in group if isinstance(s, Export))
        stages.append(Stage(Trial(index=index, key=key, label=label, prune=prune), wanted, exports))
    return stages


def _key(recipe: Recipe, fingerprint: str, chain: list[Prune], wanted: Wanted) -> str:
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
    folder, fingerprint = session.resolved.folder, session.resolved.fingerprint
    needs_text = any(s.trial.prune and calibrated(s.trial.prune) for s in stages)
    with session.bench(needs_text) as bench:
        for stage in stages:
            session.reporter.checkpoint()
            known = hooks.finished(stage.trial.key)
            with session.part(stage.trial):
                if known is None:
                    hooks.trial_started(stage.trial.index)
                    try:
                        known = _stage(session, bench, stage, folder, fingerprint)
                    except RetortError as error:
                        hooks.trial_failed(stage.trial.index, error)
                        raise
                hooks.trial_done(stage.trial.index, known)
            bench.baseline = bench.baseline or known
            if stage.trial.prune is not None:
                folder = hooks.candidate_folder(stage.trial.key) / "model"
                fingerprint = stage.trial.key
            for export in stage.exports:
                _export(session, export, folder, stage.trial)


def _stage(session: Session, bench: Bench, stage: Stage, folder: Path, fingerprint: str) -> Result:
    prune = stage.trial.prune
    loaded = _load(session, folder)
    if prune is None:
        return bench.dense_candidate(stage.trial, loaded, stage.wanted)
    source = Source(loaded, fingerprint, bench.inputs.calibration)
    statistics = statistics_for(
        source, needed([prune]), session.recipe.calibration, session.hooks.settings, session.reporter
    )
    candidate, report = apply(source, prune, statistics, session.reporter)
    bench.dense = load_model(session.resolved.folder, session.recipe.dtype) if stage.wanted.cost else None
    return bench.candidate(stage.trial, candidate, report, keep=True, wanted=stage.wanted)


def _load(session: Session, folder: Path) -> Loaded:
    """The model a stage starts from; the tokenizer's is the one the texts were read with."""
    return load_model(folder, session.recipe.dtype)


def _export(session: Session, export: Export, folder: Path, trial: Trial) -> None:
    """Puts the model where the user finds it: `exports/` in the run's folder."""
    target = session.hooks.run_folder / "exports" / f"{trial.index}-{export.format}"
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    session.reporter.event("info", f"Exported {trial.label} as a Hugging Face folder.", folder=str(target))
