"""The worker: one process that does one run. `python -m core.jobs.worker --home H --run ID`.

With the preview server and the command line, the only door into the engine.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from core.base import memory
from core.base.errors import Cancelled, RetortError, recorded_remedy
from core.base.panics import is_failure
from core.base.private_files import keep_private
from core.base.settings import Settings
from core.jobs import actions, failures, guards
from core.jobs.context import RunHooks
from core.jobs.executors import worker_lock
from core.jobs.kinds import work_of
from core.jobs.locks import FileLock
from core.jobs.logs import log_to_stderr
from core.jobs.process import prepare_process
from core.jobs.reporter import StoreReporter
from core.store import RunRow, Store

log = logging.getLogger("retort")
Guard = Callable[[RunRow, Settings, Store, StoreReporter], None]
INTERRUPTED = 75
"""Exit status of a worker that was told to stop though nobody cancelled its run: the runner starts it again."""


def work(run: RunRow, settings: Settings, store: Store, reporter: StoreReporter, *, guard: Guard | None = None) -> int:
    """Does a claimed run and records how it ended. Returns the exit status.

    Args:
        guard: refuses what cannot fit; by default what it also watches over is this whole process, and ended with it.
    """
    hooks = RunHooks(settings, store, run, reporter)
    try:
        (guard or _guard)(run, settings, store, reporter)
        work_of(run.kind)(run, hooks)
    except Cancelled:
        if store.runs.cancel_requested(run.id):
            _end(store, run.id, reporter)
            store.runs.finish(run.id, "cancelled", message=_trials(store.runs.get(run.id)))
            return 0
        if reporter.reason is None:
            log.info("interrupted")
            return INTERRUPTED
        return _fail(store, run.id, reporter, reporter.reason)
    except BaseException as error:
        if not is_failure(error):
            raise
        log.exception("the job failed")
        return _fail(store, run.id, reporter, failures.explain(error, hooks.run_folder))
    _end(store, run.id, reporter)
    return _finish(store, run.id)


def _guard(run: RunRow, settings: Settings, store: Store, reporter: StoreReporter) -> None:
    """Refuses what cannot fit, and watches over the rest."""
    minutes = guards.minutes_of(settings.limits.minutes)
    if run.kind in ("sweep", "recipe"):
        recipe = run.parsed()
        guards.refuse_unfit(recipe, settings)
        minutes = min((m for m in (minutes, recipe.minutes) if m is not None), default=None)
    limit = memory.limit_of(settings.limits.memory)
    guards.ResourceWatch(limit, minutes, reporter.stop, guards.end_for(store, run.id)).start()


def _fail(store: Store, run_id: str, reporter: StoreReporter, reason: RetortError) -> int:
    _end(store, run_id, reporter)
    store.runs.finish(run_id, "failed", cause=reason.cause, remedy=recorded_remedy(reason))
    return 1


def _end(store: Store, run_id: str, reporter: StoreReporter) -> None:
    reporter.flush()
    store.trials.stop(run_id)


def _finish(store: Store, run_id: str) -> int:
    """Done, unless every trial failed."""
    run = store.runs.get(run_id)
    if run.trials_failed and not run.trials_done:
        first = next(t for t in store.trials.of(run_id) if t.state == "failed")
        store.runs.finish(run_id, "failed", cause=first.cause, remedy=first.remedy)
        return 1
    store.runs.finish(run_id, "done", message=_trials(run))
    return 0


def _trials(run: RunRow) -> str:
    """'7 of 9 candidates finished, 2 failed.', or '' for a run without trials."""
    if not run.trials_total:
        return ""
    failed = f", {run.trials_failed} failed" if run.trials_failed else ""
    return f"{run.trials_done} of {run.trials_total} candidates finished{failed}."


def _prepare_process(reporter: StoreReporter) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        reporter.stopping = True

    signal.signal(signal.SIGTERM, stop)
    prepare_process(out_of_memory_score=500)  # this process goes first, not the server or the runner


def main(arguments: list[str] | None = None) -> int:
    """Runs the worker. `--lock` and `--device-lock` are descriptors of locks that the runner took for it."""
    keep_private()
    parser = argparse.ArgumentParser(prog="core.jobs.worker")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--run", required=True)
    parser.add_argument("--lock", type=int, required=True)
    parser.add_argument("--device-lock", type=int, required=True)
    chosen = parser.parse_args(arguments)
    log_to_stderr()
    settings = Settings.load(chosen.home)
    lock = FileLock(worker_lock(settings, chosen.run), chosen.lock)
    lock.sign()
    os.set_inheritable(chosen.device_lock, False)  # held, never released: it ends with this process
    store = Store(settings)
    run = store.runs.get(chosen.run)
    settings = settings.of_run(run.settings)  # those of whoever started the run, not of whoever started the runner
    reporter = StoreReporter(store, run.id)
    _prepare_process(reporter)
    guards.remember_kills(settings.run_folder(run.id))
    log.info("process %d works on %s (%s)", os.getpid(), run.id, run.name)
    status = work(run, settings, store, reporter) if run.state == "running" else 0
    # A runner that was killed meanwhile comes back for the rest of the queue.
    with suppress(RetortError, OSError):
        actions.ensure_runner(settings)
    return status


if __name__ == "__main__":
    sys.exit(main())
