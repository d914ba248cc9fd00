"""What the worker hands to the engine's pipeline: `core.recipe.hooks.Hooks` over the store."""

from __future__ import annotations

from pathlib import Path

from core.base.durable_files import make_folder
from core.base.errors import RetortError, recorded_remedy
from core.base.settings import Settings
from core.catalogue.saved_models import model_damage
from core.jobs.reporter import StoreReporter
from core.recipe.results import Result, Trial
from core.store import RunRow, Store


class RunHooks:
    """One run's trials and folders, seen from inside the engine."""

    def __init__(self, settings: Settings, store: Store, run: RunRow, reporter: StoreReporter) -> None:
        self.settings = settings
        self.actor = run.actor
        self.reporter = reporter
        self.run_folder = settings.run_folder(run.id)
        make_folder(self.run_folder)
        self._store = store
        self._run_id = run.id
        self._said: set[str] = set()

    def register_trials(self, trials: list[Trial]) -> None:
        self._store.trials.add(self._run_id, trials)

    def finished(self, key: str) -> Result | None:
        """A result whose model was kept and is damaged counts as one whose model was not kept; said once."""
        result = self._store.candidates.get(key)
        if result is None or not result.saved:
            return result
        wrong = model_damage(self.candidate_folder(key) / "model")
        if wrong is None:
            return result
        if key not in self._said:
            self._said.add(key)
            self.reporter.event(
                "warning",
                f"The model that was kept of '{result.label}' is damaged: {wrong}. It no longer counts as kept, "
                "and is made again from the recipe where it is needed.",
            )
        return result.model_copy(update={"saved": False})

    def trial_started(self, index: int) -> None:
        self._store.trials.start(self._run_id, index)

    def trial_done(self, index: int, result: Result) -> None:
        self._store.candidates.add(result)
        self._store.trials.finish(self._run_id, index, result.label)

    def trial_failed(self, index: int, error: RetortError) -> None:
        self._store.trials.fail(self._run_id, index, error.cause, recorded_remedy(error))

    def candidate_folder(self, key: str) -> Path:
        return self._store.candidates.folder(key)
