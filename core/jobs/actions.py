"""What pages and the command line may do with runs.

A runner is started whenever there may be something to do; it is detached, so runs outlive the caller.
Every function that changes something asks first whether `actor`, who wants it, may (core/base/roles.py), and a run's
events say who did it where people sign in.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from core.analysis.sensitivity import SensitivitySpec
from core.base.durable_files import make_folder, move
from core.base.errors import SAME_AGAIN, RetortError
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.catalogue.rights import refuse_downloads
from core.jobs import guards, resumable
from core.jobs.damaged import damaged
from core.jobs.executors import start_detached
from core.jobs.locks import FileLock
from core.jobs.runner import runner_lock
from core.preflight.start import refuse_unready
from core.recipe.hooks import STOP_AND_KEEP
from core.recipe.names import model_name
from core.recipe.recipe import Recipe
from core.registry.samples import sample
from core.store import RunRow, Store
from core.store.problems import plain_errors
from core.store.rows import ACTIVE

log = logging.getLogger("retort")
DOWNLOADS = ("fetch", "download")
"""Kinds of runs that only bring something here."""


def submit(recipe: Recipe, settings: Settings, actor: Actor, *, tags: Sequence[str] = (), notes: str = "") -> str:
    """Queues a recipe or a sweep, makes sure that a runner works, and returns the run's id.

    Raises:
        RetortError: as `queue`.
    """
    run_id = queue(recipe, settings, actor, tags=tags, notes=notes)
    ensure_runner(settings)
    return run_id


def queue(recipe: Recipe, settings: Settings, actor: Actor, *, tags: Sequence[str] = (), notes: str = "") -> str:
    """Queues a recipe or a sweep, starts nothing, and returns the run's id.

    Raises:
        RetortError: too many trials, more memory than a job may take, a trial or step that cannot be done, a full
            queue, a data folder that cannot be written, something to download that `actor` may not, or no right to.
    """
    check(actor, "run")
    store = Store(settings)
    recipe = named(recipe, store)
    document = recipe.model_dump(mode="json")
    refuse_downloads(document, settings, actor)
    check_recipe(recipe, settings)
    return store.runs.add(
        recipe.kind,
        recipe.name,
        recipe.model,
        document,
        tags=tags,
        notes=notes,
        max_queued=settings.limits.queued_runs,
        actor=actor,
        refuse_missing=True,
    )


def named(recipe: Recipe, store: Store) -> Recipe:
    """The recipe; one that nobody named is called by what it does, with the names that its models have here."""
    if recipe.name != recipe.usual_name():
        return recipe
    found = store.candidates.names(recipe.models).items()
    called = {r: f"{label} of {model_name(of)}" if of else label for r, (label, of) in found}
    return recipe.model_copy(update={"name": recipe.usual_name(called)})


def submit_fetch(sample_id: str, settings: Settings, actor: Actor, *, accept_terms: bool = False) -> str:
    """Queues the download of a sample; returns the id of the run that is at it already, if there is one.

    Raises:
        RetortError: unknown sample, a full queue, or no right to.
    """
    check(actor, "fetch")
    label = sample(sample_id).label
    run_id = Store(settings).runs.add(
        "fetch",
        f"Fetch {label}",
        f"sample:{sample_id}",
        {"sample": sample_id, "accept_terms": accept_terms},
        max_queued=settings.limits.queued_runs,
        join_active=True,
        actor=actor,
    )
    ensure_runner(settings)
    return run_id


def check_recipe(recipe: Recipe, settings: Settings) -> None:
    """Refuses what can be known to fail before it starts; pages and the command line ask before they offer to start.

    Raises:
        RetortError: too many trials, more memory or disk than there is, or a trial, a step or data that cannot be used.
    """
    check_limits(recipe, settings)
    guards.refuse_oversized(recipe, settings)
    queued = Store(settings).runs.find(kinds=("sensitivity",), states=ACTIVE, model=recipe.model)
    coming = [SensitivitySpec.model_validate(run.recipe) for run in queued]
    refuse_unready(recipe, settings, coming)


def check_limits(recipe: Recipe, settings: Settings) -> None:
    """Refuses a sweep with more trials than allowed.

    Raises:
        RetortError: too many trials.
    """
    trials = len(recipe.sweep.trials()) if recipe.sweep is not None else 0
    if trials > settings.limits.trials:
        raise RetortError(
            f"This sweep asks for {trials} candidates; at most {settings.limits.trials} are allowed.",
            "Choose fewer methods, sparsities or seeds, or split it into several sweeps.",
        )


def cancel(run_id: str, settings: Settings, actor: Actor) -> None:
    """Takes a run from the queue, or asks its worker to stop after the current step. Finished trials are kept.

    Raises:
        RetortError: there is no such run, or no right to.
    """
    check(actor, "run")
    store = Store(settings)
    store.runs.request_cancel(run_id)
    _record(store, run_id, "Cancelled by", actor)
    ensure_runner(settings)


def stop_and_keep(run_id: str, settings: Settings, actor: Actor) -> None:
    """Asks a running training to end now and keep its best weights; what follows in its recipe is done.

    Raises:
        RetortError: there is no such run, it is not running, or no right to.
    """
    check(actor, "run")
    store = Store(settings)
    run = store.runs.get(run_id)
    if run.state != "running":
        raise RetortError(f"'{run.name}' is not running.", "Only a running training can be stopped and kept.")
    with plain_errors(settings.home):
        make_folder(settings.run_folder(run_id))
        (settings.run_folder(run_id) / STOP_AND_KEEP).touch()
    _record(store, run_id, "Training stopped by", actor)


def is_stopping(run_id: str, settings: Settings) -> bool:
    """Whether a training was asked to stop and be kept, and still makes its last step or check."""
    return (settings.run_folder(run_id) / STOP_AND_KEEP).exists()


def retry(run_id: str, settings: Settings, actor: Actor) -> None:
    """Queues a run again that failed, was cancelled, has failed trials, or saved what is damaged now.

    Finished trials are not repeated, unless their model was kept and is damaged.

    Raises:
        RetortError: there is no such run, it is active, there is nothing left to do in it, the same again would fail
            the same way, or no right to.
    """
    check(actor, "run")
    store = Store(settings)
    run = store.runs.get(run_id)
    if run.active:
        raise RetortError(f"'{run.name}' is {run.state} already.", "Wait until it has ended, or cancel it first.")
    broken = damaged(run_id, settings, store)
    if run.state == "done" and run.trials_failed == 0 and not broken:
        raise RetortError(f"Everything in '{run.name}' is finished.", "Change its recipe to measure something else.")
    if run.kind in DOWNLOADS:
        check(actor, "fetch")
    refuse_downloads(run.recipe, settings, actor)
    trials = store.trials.of(run_id)
    if not broken and not resumable.can_help(run, trials):
        cause = run.cause or next(t.cause for t in trials if t.state == "failed")
        raise RetortError(f"Trying '{run.name}' again cannot help. {cause}", SAME_AGAIN)
    if run.kind in ("sweep", "recipe"):
        check_recipe(run.parsed(), settings)
    store.runs.requeue(run_id, actor)
    _record(store, run_id, "Queued again by", actor)
    _ensure_runner(settings, store)


resume = retry
"""A cancelled or failed run goes on where it was."""


def delete(run_id: str, settings: Settings, actor: Actor) -> None:
    """Deletes a run, its folder, and the candidates that no other run has.

    Raises:
        RetortError: the run does not exist, has not ended, an active run builds on it, or no right to.
    """
    check(actor, "delete")
    store = Store(settings)
    trash = settings.home / "trash"

    def move_away(keys: list[str]) -> None:
        # Renames come before the commit: killed in between, the run is still listed and can be deleted again.
        store.candidates.move_away(keys, trash)
        folder = settings.run_folder(run_id)
        if folder.exists():
            move(folder, trash / f"{run_id}-{time.time_ns()}")

    with plain_errors(settings.home):
        store.runs.delete(run_id, move_away)
    shutil.rmtree(trash, ignore_errors=True)
    if actor.name:
        log.warning("%s deleted run %s.", actor.name, run_id)  # its events are gone with it


def ensure_runner(settings: Settings) -> bool:
    """Starts a runner if runs are queued or running and none works; True where it started one.

    Cheap where there is nothing to do, so pages call it whenever they open.

    Raises:
        RetortError: the data folder cannot be written.
    """
    return _ensure_runner(settings, Store(settings))


def _ensure_runner(settings: Settings, store: Store) -> bool:
    if store.runs.counts().active == 0:
        return False
    with plain_errors(settings.home):
        lock = FileLock(runner_lock(settings))
        if not lock.acquire():
            return False
        try:
            _start_runner(settings, lock)
        finally:
            lock.release()
    return True


def wait(
    run_id: str,
    settings: Settings,
    *,
    timeout: float | None = None,
    pause: float = 0.2,
    watch: Callable[[RunRow], None] | None = None,
) -> RunRow:
    """Blocks until the run has ended (or `timeout` seconds have passed) and returns it; `watch` sees it meanwhile.

    Raises:
        RetortError: there is no such run.
    """
    store = Store(settings)
    give_up = None if timeout is None else time.monotonic() + timeout
    while True:
        run = store.runs.get(run_id)
        if watch is not None:
            watch(run)
        if not run.active or (give_up is not None and time.monotonic() > give_up):
            return run
        _ensure_runner(settings, store)
        time.sleep(pause)


def _record(store: Store, run_id: str, did: str, actor: Actor) -> None:
    """Who did it, as an event of the run; nothing where nobody signs in."""
    if actor.name:
        store.events.add(run_id, "info", f"{did} {actor.name}.")


def _start_runner(settings: Settings, lock: FileLock) -> None:
    limits = settings.limits
    command = [
        sys.executable,
        "-m",
        "core.jobs.runner",
        "--home",
        str(settings.home),
        "--idle",
        str(limits.runner_idle_seconds),
        "--grace",
        str(limits.cancel_grace_seconds),
        "--attempts",
        str(limits.attempts),
    ]
    start_detached(command, settings.home / "runner.log", lock, settings)
