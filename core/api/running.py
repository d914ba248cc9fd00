"""Runs a recipe in this process, or as a job, and returns what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.api.results import Home, results, settings_of
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions, guards
from core.jobs.executors import worker_lock
from core.jobs.locks import FileLock
from core.jobs.preview.device import take_device
from core.jobs.reporter import StoreReporter
from core.jobs.worker import work
from core.recipe.check import check_recipe
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from core.store import RunRow, Store

if TYPE_CHECKING:
    import pandas as pd

_PATIENCE = 10.0
"""Seconds a worker may take to end after its run is done."""


def run(recipe: Recipe | Mapping[str, object] | Path | str, *, home: Home = None, job: bool = False) -> pd.DataFrame:
    """Runs a recipe to its end and returns its results.

    Args:
        recipe: a dictionary, the path of a YAML file, or YAML as text.
        home: the data folder. Models and texts named `path:` lie under `models` in it, or under `RETORT_ROOTS`.
        job: True: in a worker process, which goes on when this one ends; False: in this process.

    Returns:
        As `results`.

    Raises:
        RetortError: the recipe has problems, cannot be done, failed, was cancelled, or the machine is in use.
    """
    return results(finished(recipe, home=home, job=job).id, home=home)


def finished(recipe: Recipe | Mapping[str, object] | Path | str, *, home: Home, job: bool) -> RunRow:
    """The run of a recipe, once it is done.

    Raises:
        RetortError: as `run`.
    """
    settings = settings_of(home)
    parsed = _parsed(recipe, settings)
    if job:
        run_id = actions.submit(parsed, settings, LOCAL)
    else:
        run_id = actions.queue(parsed, settings, LOCAL)
        _do(run_id, settings)
    done = actions.wait(run_id, settings)
    if done.state != "done":
        cause = done.cause or f"'{done.name}' was {done.state}."
        raise RetortError(cause, done.remedy or "What it finished is kept: run the same recipe again to go on.")
    return done


def _parsed(recipe: Recipe | Mapping[str, object] | Path | str, settings: Settings) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return check_recipe(recipe, settings.limits)
    is_path = isinstance(recipe, Path) or "\n" not in recipe
    return load_recipe(Path(recipe) if is_path else str(recipe), settings.limits)


def _machine(run_id: str, settings: Settings, store: Store) -> FileLock | None:
    """The lock of the machine, as soon as a worker that has just ended lets go of it; None where it is in use."""
    give_up = time.monotonic() + _PATIENCE
    while (device := take_device(settings, LOCAL, "Python")) is None and store.runs.get(run_id).state == "queued":
        if time.monotonic() > give_up:
            break
        time.sleep(0.1)
    return device


def _refuse_unfit(run: RunRow, settings: Settings, store: Store, reporter: StoreReporter) -> None:
    """Refuses what cannot fit; nothing watches over the rest, since that would end somebody's notebook."""
    guards.refuse_unfit(run.parsed(), settings)


def _do(run_id: str, settings: Settings) -> None:
    """Does a queued run here, unless a runner that was at work already has taken it.

    The lock of its worker is held, and not signed: cancelling it on the Runs page asks it to stop at a checkpoint,
    and never signals this process, which is somebody's notebook.
    """
    store = Store(settings)
    device, own = _machine(run_id, settings, store), FileLock(worker_lock(settings, run_id))
    if device is None:
        if store.runs.get(run_id).state != "queued":
            return  # a runner has it
        store.runs.request_cancel(run_id)
        raise RetortError("A run or a command is using this machine.", "Wait until it has ended, or give job=True.")
    try:
        if own.acquire() and store.runs.claim(run_id):
            claimed = store.runs.get(run_id)
            work(claimed, settings, store, StoreReporter(store, run_id), guard=_refuse_unfit)
    except KeyboardInterrupt:
        store.trials.stop(run_id)
        store.runs.finish(run_id, "cancelled", message="Interrupted in Python.")
        raise
    finally:
        own.release()
        device.release()
