"""The runner: one detached process per home that takes runs from the queue. `python -m core.jobs.runner --home H`.

It may die at any moment: its workers go on, hold their locks, and the next runner adopts them.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

from core.base.errors import RetortError
from core.base.private_files import keep_private
from core.base.settings import Limits, Settings
from core.jobs import failures, guards
from core.jobs.cleanup import sweep_up
from core.jobs.executors import Ended, Executor, LocalExecutor
from core.jobs.locks import FileLock
from core.jobs.logs import log_to_stderr
from core.store import RunRow, Store

log = logging.getLogger("retort")
PAUSE = 0.2
"""Seconds between two looks at the queue."""


class Runner:
    """Starts queued runs, stops cancelled ones, and settles those whose worker is gone."""

    def __init__(self, settings: Settings, store: Store, executor: Executor) -> None:
        self._settings = settings
        self._store = store
        self._executor = executor
        self._jobs: set[str] = set()
        self._asked_to_stop: dict[str, float] = {}
        """When each job was asked to stop, on the monotonic clock: a clock set back changes nothing."""

    def run(self) -> None:
        """Works until there has been nothing to do for a while."""
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < self._settings.limits.runner_idle_seconds:
            if self._step_or_wait():
                idle_since = time.monotonic()
            time.sleep(PAUSE)

    def step(self) -> bool:
        """Looks at every active run once; False where there is none."""
        running = self._store.runs.find(states=["running"], limit=10_000, oldest_first=True)
        for run in running:
            self._watch(run)
        for run_id in self._jobs - {r.id for r in running}:
            self._forget_if_ended(run_id)
        queued = self._store.runs.find(states=["queued"], limit=1, oldest_first=True)
        for run in queued:
            self._start(run)
        return bool(running or queued or self._jobs)

    def _step_or_wait(self) -> bool:
        """A full disk or a locked database passes; the runner stays and tries again."""
        try:
            return self.step()
        except (RetortError, OSError) as error:
            log.warning("%s", error)
            time.sleep(2.0)
            return True

    def _start(self, run: RunRow) -> None:
        if self._executor.submit(run.id, lambda: self._store.runs.claim(run.id)):
            self._jobs.add(run.id)
            log.info("started %s (%s)", run.id, run.name)

    def _watch(self, run: RunRow) -> None:
        if run.id not in self._jobs:
            if not self._executor.recover(run.id):
                self._settle(run.id, Ended(None))
                return
            self._jobs.add(run.id)
            log.info("adopted the worker of %s", run.id)
        ended = self._executor.poll(run.id)
        if ended is not None:
            self._forget(run.id)
            self._settle(run.id, ended)
        elif run.cancel_requested:
            self._stop(run.id, self._limits(run))

    def _stop(self, run_id: str, limits: Limits) -> None:
        now = time.monotonic()
        if run_id not in self._asked_to_stop:
            self._asked_to_stop[run_id] = now
            self._executor.cancel(run_id, force=False)
        elif now - self._asked_to_stop[run_id] > limits.cancel_grace_seconds:
            self._executor.cancel(run_id, force=True)

    def _limits(self, run: RunRow) -> Limits:
        return self._settings.of_run(run.settings).limits

    def _forget_if_ended(self, run_id: str) -> None:
        if self._executor.poll(run_id) is not None:
            self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        self._jobs.discard(run_id)
        self._asked_to_stop.pop(run_id, None)

    def _settle(self, run_id: str, ended: Ended) -> None:
        """Decides about a run whose worker is gone. One that had finished it leaves nothing to decide."""
        run = self._store.runs.get(run_id)
        if run.state != "running":
            return
        working_on = self._store.trials.stop(run_id)
        if run.cancel_requested:
            self._store.runs.finish(run_id, "cancelled")
        elif run.attempts >= self._limits(run).attempts:
            memory_ran_out = guards.killed_for_memory(self._store.settings.run_folder(run_id))
            error = failures.lost(ended.status, memory_ran_out, working_on, run.attempts)
            self._store.runs.finish(run_id, "failed", cause=error.cause, remedy=error.remedy)
        else:
            log.warning("the worker of %s is gone (status %s), starting it again", run_id, ended.status)
            self._store.events.add(
                run_id, "warning", "The job's process was gone, so it starts again where it was.", status=ended.status
            )
            self._store.runs.requeue(run_id, None)


def main(arguments: list[str] | None = None) -> int:
    """Runs the runner. `--lock` is the descriptor of the runner's lock, if whoever started it took it already."""
    keep_private()
    parser = argparse.ArgumentParser(prog="core.jobs.runner")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--lock", type=int)
    parser.add_argument("--idle", type=float, default=Limits.runner_idle_seconds)
    parser.add_argument("--grace", type=float, default=Limits.cancel_grace_seconds)
    parser.add_argument("--attempts", type=int, default=Limits.attempts)
    chosen = parser.parse_args(arguments)
    log_to_stderr("%(asctime)s %(message)s")
    settings = Settings.load(chosen.home)
    limits = replace(
        settings.limits,
        runner_idle_seconds=chosen.idle,
        cancel_grace_seconds=chosen.grace,
        attempts=chosen.attempts,
    )
    settings = replace(settings, limits=limits)
    lock = FileLock(runner_lock(settings), chosen.lock)
    if chosen.lock is None and not lock.acquire():
        log.info("another runner works on this home")
        return 0
    lock.sign()
    store = Store(settings)
    try:
        store.candidates.reindex()
    except (RetortError, OSError) as error:  # an index that lags behind; the queue must not wait for it
        log.warning("results that the index has lost could not be looked for: %s", error)
    sweep_up(settings)
    while True:
        Runner(settings, store, LocalExecutor(settings)).run()
        lock.release()
        # Whoever queued a run just before the release saw the lock held and relies on this second look.
        if store.runs.counts().active == 0 or not lock.acquire():
            return 0


def runner_lock(settings: Settings) -> Path:
    """Held by the one runner of a home. Never probed, only taken by who then runs or starts the runner."""
    return settings.locks / "runner.lock"


if __name__ == "__main__":
    sys.exit(main())
