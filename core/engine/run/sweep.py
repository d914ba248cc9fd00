"""A sweep: one model, one calibration pass, many trials, each measured beside the dense baseline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from core.base.errors import Impossible, RetortError
from core.engine.measure.devices import free_memory
from core.engine.models.load import load_model
from core.engine.prune.apply import restore_dense
from core.engine.prune.statistics import Statistics
from core.engine.run.budget import expanded, report_verdicts
from core.engine.run.candidate import CandidateMeasurer
from core.engine.run.prune_step import Source, apply, derived_key, measured_key, needed, statistics_for
from core.engine.run.session import Session
from core.recipe.results import Result, Trial
from core.recipe.trial_keys import trials_of
from core.registry.methods import METHODS

logger = logging.getLogger("retort")
_SPARE = 2.0  # free memory, per byte of weights, at which a second model is held for interleaved timing


Measure = Callable[[Session, list[Trial], list[Trial]], None]
"""Measures the open ones of a sweep's trials, the dense baseline before all others."""


def run_sweep(session: Session, measure: Measure | None = None) -> None:
    """Runs every trial that has no result yet. A trial that fails is recorded and the next one runs.

    `measure` says where; None: in this process.

    Raises:
        RetortError: the model, the texts or the baseline cannot be used, or every trial failed.
        Cancelled: the user asked to stop; finished trials are kept.
    """
    hooks, identity = session.hooks, session.identity
    budget = session.recipe.sweep.budget if session.recipe.sweep else None
    if budget is not None:
        session.recipe = expanded(session)
    recipe = session.recipe
    trials = [_keyed(session, t) for t in trials_of(recipe, identity)]
    hooks.register_trials(trials)
    open_trials = [t for t in trials if not _reuse(session, t)]
    session.reporter.total, session.reporter.done = len(trials), len(trials) - len(open_trials)
    if open_trials:
        (measure or _measure)(session, trials, open_trials)
    if budget is not None:
        shapes = [hooks.finished(t.key) for t in trials if t.prune is not None and t.prune.target is not None]
        report_verdicts(session, budget, hooks.finished(trials[0].key), [r for r in shapes if r is not None])


def _measure(session: Session, trials: list[Trial], open_trials: list[Trial]) -> None:
    hooks = session.hooks
    prunes = [t.prune for t in trials if t.prune is not None]
    with session.bench(any(p.calibrated for p in prunes)) as bench:
        source = Source(session.loaded, session.resolved.fingerprint, bench.inputs.calibration)
        dense = trials[0]
        bench.baseline = hooks.finished(dense.key)
        if bench.baseline is None:
            error = _run(session, dense, lambda: bench.dense_candidate(dense, source.loaded))
            if error is not None:
                raise error
            bench.baseline = hooks.finished(dense.key)
        _sweep(session, bench, source, [t for t in open_trials if t.prune is not None])


def _sweep(session: Session, bench: CandidateMeasurer, source: Source, trials: list[Trial]) -> None:
    hooks = session.hooks
    pending = [t.prune for t in trials if t.prune is not None]
    statistics = statistics_for(source, needed(pending), hooks.settings, session.reporter)
    bench.know(source.loaded)
    hold_beside(bench, session)
    failed: list[RetortError | None] = []
    for trial in trials:
        session.reporter.checkpoint()
        failed.append(_run(session, trial, partial(pruned_candidate, session, bench, source, statistics, trial)))
    refuse_if_all_failed(session, [error for error in failed if error is not None])


def refuse_if_all_failed(session: Session, failed: Sequence[RetortError]) -> None:
    """Raises RetortError where no trial but the baseline has a result, from this run or an earlier one."""
    if failed and len(failed) == session.reporter.total - 1:
        kind = Impossible if all(isinstance(error, Impossible) for error in failed) else RetortError
        first = failed[0].cause if len({error.cause for error in failed}) == 1 else ""
        raise kind(f"Every candidate of the sweep failed. {first}".strip(), "Do what each of them says.")


def hold_beside(bench: CandidateMeasurer, session: Session) -> None:
    """A second copy of the dense model, where memory allows one and a candidate needs it beside itself.

    To be timed in turns with it, and to compare predictions where those of the dense model could not be kept.
    """
    needed = session.recipe.latency is not None or bench.predictions.too_large
    if needed and free_memory() > _SPARE * session.weight_bytes:
        bench.dense = load_model(session.resolved.folder, session.recipe.dtype)
        bench.predictions.model = bench.dense.model


def pruned_candidate(
    session: Session, bench: CandidateMeasurer, source: Source, statistics: Statistics | None, trial: Trial
) -> Result:
    """Prunes, measures, and puts the dense weights back."""
    prune = trial.prune
    assert prune is not None
    structured = METHODS[prune.method].structured
    try:
        candidate, report = apply(source, prune, statistics, session.reporter, session.hooks.settings)
        return bench.candidate(trial, candidate, report, keep=session.keeps(prune))
    finally:
        if not structured:
            restore_dense(source.loaded.model, session.resolved.folder)


def _keyed(session: Session, trial: Trial) -> Trial:
    """The trial; one whose sparsity is spread by a measured sensitivity has that measurement in its key as well."""
    if trial.prune is None:
        return trial
    salt = measured_key(trial.prune, session.resolved.fingerprint, session.hooks.settings)
    return trial.model_copy(update={"key": derived_key(trial.key, salt)}) if salt else trial


def _run(session: Session, trial: Trial, work: Callable[[], Result]) -> RetortError | None:
    """Runs one trial and records how it ended; returns what it failed with, if it did."""
    hooks = session.hooks
    hooks.trial_started(trial.index)
    with session.part(trial):
        try:
            result = work()
        except RetortError as error:
            logger.info("trial %s failed", trial.label, exc_info=error)
            hooks.trial_failed(trial.index, error)
            return error
    hooks.trial_done(trial.index, result)
    return None


def _reuse(session: Session, trial: Trial) -> bool:
    """True where the trial has all this run wants already, from this run or another."""
    known = session.hooks.finished(trial.key)
    if known is None or (trial.prune is not None and session.keeps(trial.prune) and not known.saved):
        return False
    session.hooks.trial_done(trial.index, known)
    return True
