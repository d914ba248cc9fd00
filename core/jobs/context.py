"""What the worker hands to the engine's pipeline: `core.hooks.Hooks` over the store."""

from __future__ import annotations

from pathlib import Path

from core.durable_files import make_folder
from core.errors import RetortError
from core.jobs.reporter import StoreReporter
from core.results import Result, Trial
from core.settings import Settings
from core.store import Store


class RunHooks:
    """One run's trials and folders, seen from inside the engine."""

    def __init__(self, settings: Settings, store: Store, run_id: str, reporter: StoreReporter) -> None:
        self.settings = settings
        self.reporter = reporter
        self.run_folder = settings.run_folder(run_id)
        make_folder(self.run_folder)
        self._store = store
        self._run_id = run_id

    def register_trials(self, trials: list[Trial]) -> None:
        self._store.trials.add(self._run_id, trials)

    def finished(self, key: str) -> Result | None:
        return self._store.candidates.get(key)

    def trial_started(self, index: int) -> None:
        self._store.trials.start(self._run_id, index)

    def trial_done(self, index: int, result: Result) -> None:
        self._store.candidates.add(result)
        self._store.trials.finish(self._run_id, index)

    def trial_failed(self, index: int, error: RetortError) -> None:
        self._store.trials.fail(self._run_id, index, error.cause, error.remedy)

    def candidate_folder(self, key: str) -> Path:
        return self._store.candidates.folder(key)
