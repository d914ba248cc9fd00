"""A sweep whose trials are measured by the nodes of a Ray cluster; calibration and bookkeeping stay here."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.analysis.sensitivity import folder_of
from core.base.errors import RetortError
from core.base.integrity import seal
from core.catalogue.samples import is_fetched
from core.cluster.check import LIBRARIES
from core.cluster.connection import connected
from core.cluster.transfer import Archive, archive_name, bring_home, pack
from core.engine.cluster.dispatcher import Dispatcher
from core.engine.cluster.messages import Answer, Study
from core.engine.data.inputs import Inputs
from core.engine.prune.statistics import Statistics
from core.engine.run.candidate import versions
from core.engine.run.prune_step import Source, needed, statistics_for
from core.engine.run.session import Session
from core.engine.run.sweep import refuse_if_all_failed
from core.recipe.results import Trial
from core.registry.samples import SAMPLES


def measure_on_cluster(
    session: Session, trials: list[Trial], open_trials: list[Trial], most: int | None = None
) -> None:
    """The dense baseline on one node first, then every open trial on whichever node is free, at most `most` at once.

    Raises:
        RetortError: no cluster, no device, the baseline failed, or every trial did.
        Cancelled: the user asked to stop; finished trials are kept.
    """
    with connected(session.hooks.settings) as ray:
        _Sweep(ray, session, most).run(trials, open_trials)


class _Sweep:
    """One sweep on its way through the cluster."""

    def __init__(self, ray: Any, session: Session, most: int | None) -> None:
        self._ray, self._session = ray, session
        limits = session.hooks.settings.limits
        self._failed: dict[str, RetortError] = {}
        self._dispatcher = Dispatcher(
            ray,
            session.reporter,
            session.hooks.trial_started,
            self._ended,
            limits.attempts,
            limits.cancel_grace_seconds / 2,
            most,
        )

    def run(self, trials: list[Trial], open_trials: list[Trial]) -> None:
        session, hooks = self._session, self._session.hooks
        prunes = [t.prune for t in trials if t.prune is not None]
        with session.bench(any(p.calibrated for p in prunes)) as bench:
            inputs = bench.inputs
        study = self._study(inputs)
        dense = trials[0]
        if hooks.finished(dense.key) is None:
            self._dispatcher.run(study, [dense])
            if dense.key in self._failed:
                raise self._failed[dense.key]
        source = Source(session.loaded, session.resolved.fingerprint, inputs.calibration)
        statistics = statistics_for(source, needed(prunes), hooks.settings, session.reporter)
        study = replace(study, baseline=hooks.finished(dense.key), statistics=self._statistics(statistics))
        study = replace(study, id=uuid.uuid4().hex)
        self._dispatcher.run(study, [t for t in open_trials if t.prune is not None])
        refuse_if_all_failed(session, list(self._failed.values()))

    def _study(self, inputs: Inputs) -> Study:
        session = self._session
        dtype = str(session.loaded.dtype).removeprefix("torch.")
        here = versions()
        return Study(
            id=uuid.uuid4().hex,
            recipe=session.recipe.model_copy(update={"dtype": dtype}),
            actor=session.hooks.actor,
            fingerprint=session.resolved.fingerprint,
            model=self._posted("model", session.resolved.folder, session.resolved.fingerprint),
            statistics=None,
            home=self._home(),
            inputs=inputs,
            versions={name: here[name] for name in LIBRARIES},
        )

    def _posted(self, inside: str, folder: Path, *identity: str) -> Archive:
        self._session.reporter.progress(0, 1, "Putting files into the cluster's object store.")
        files = {f"{inside}/{p.name}": p for p in sorted(folder.iterdir()) if p.is_file()}
        return pack(self._ray, archive_name(inside, *identity), files)

    def _statistics(self, statistics: Statistics | None) -> Archive | None:
        if statistics is None:
            return None
        return self._posted("statistics", statistics.folder, statistics.folder.name, str(statistics.facts))

    def _home(self) -> Archive:
        """Measured sensitivities and, where the recipe asks for them, evaluation sets."""
        settings, evaluation = self._session.hooks.settings, self._session.recipe.evaluation
        entries = {"sensitivity": folder_of(settings)} if folder_of(settings).is_dir() else {}
        names = ["tasks"] if evaluation.tasks else []
        names += [evaluation.labelled.data.removeprefix("sample:")] if evaluation.labelled else []
        for name in names:
            found = SAMPLES.get(name)
            if found is not None and is_fetched(found, settings):
                entries[str(found.folder(settings).relative_to(settings.home))] = found.folder(settings)
        stamps = [f"{k} {sorted((p.name, p.stat().st_mtime_ns) for p in v.rglob('*'))}" for k, v in entries.items()]
        return pack(self._ray, archive_name("home", *stamps), entries)

    def _ended(self, trial: Trial, answer: Answer | RetortError) -> None:
        session, hooks = self._session, self._session.hooks
        if isinstance(answer, Answer):
            for level, message, data in answer.events:
                session.reporter.event(level, f"{trial.label}: {message}", **data)
        error = answer if isinstance(answer, RetortError) else answer.error
        if error is not None:
            self._failed[trial.key] = error
            hooks.trial_failed(trial.index, error)
        elif isinstance(answer, Answer) and answer.result is not None:
            answer.result.recipe = session.recipe.model_dump(mode="json")
            answer.result.inputs = session.identity.read
            if answer.model is not None:
                self._bring_home(answer.model, trial.key)
            hooks.trial_done(trial.index, answer.result)
        session.reporter.done += 1

    def _bring_home(self, model: Archive, key: str) -> None:
        """The kept model, next to where its result will be; nobody sees it half written."""
        folder = self._session.hooks.candidate_folder(key) / "model"
        bring_home(self._ray, model, "model", folder)
        seal(folder)
