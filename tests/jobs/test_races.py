"""Many processes at once, a clock that jumps, a database that is locked."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions, runner
from core.jobs.executors import PROJECT
from core.jobs.runner import Runner
from core.store import Store
from tests.jobs.conftest import Bench, database_locked

pytestmark = pytest.mark.jobs


def _claims(home: str, runs: list[str]) -> list[str]:
    store = Store(Settings(home=Path(home)))
    return [r for r in runs if store.runs.claim(r)]


def test_of_many_processes_one_claims_a_run(home: Settings) -> None:
    store = Store(home)
    runs = [store.runs.add("count", str(i), "path:/none", {}, LOCAL) for i in range(40)]
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        claimed = [pool.submit(_claims, str(home.home), runs) for _ in range(6)]
        won = [r for future in claimed for r in future.result()]
    assert sorted(won) == sorted(runs)
    assert all(store.runs.get(r).attempts == 1 for r in runs)


def test_many_submits_at_once_start_one_runner(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: bench.add(trials=1, seconds=0.01), range(8)))
    for run_id in runs:
        assert bench.wait(run_id).state == "done"
    starts = (bench.settings.home / "runner.log").read_text().count("started ")
    assert starts == len(runs), "each run was started once"


def test_a_second_runner_leaves_at_once(bench: Bench) -> None:
    run_id = bench.add(trials=1, seconds=600)
    bench.until(lambda: bench.lines("start"))
    command = [sys.executable, "-m", "core.jobs.runner", "--home", str(bench.settings.home)]
    second = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 0 and "another runner" in second.stderr
    actions.cancel(run_id, bench.settings, LOCAL)
    assert bench.wait(run_id).state == "cancelled"
    assert len(bench.lines("start")) == 1


def test_a_run_queued_while_the_runner_leaves_is_not_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst moment: after the runner's last look at the queue, before it lets go of its lock."""
    late: list[str] = []
    real = Runner.run

    def run_then_submit(self: Runner) -> None:
        real(self)
        if not late:
            late.append(bench.add(trials=1, start=False))
            assert not actions.ensure_runner(bench.settings), "the lock is still held, so nobody else starts a runner"

    monkeypatch.setattr(Runner, "run", run_then_submit)
    assert runner.main(["--home", str(bench.settings.home), "--idle", "0.5"]) == 0
    assert bench.store.runs.get(late[0]).state == "done"


def test_a_clock_set_back_changes_neither_order_nor_liveness(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.add(trials=1, start=False)
    now = time.time()
    with monkeypatch.context() as clock:
        clock.setattr("time.time", lambda: now - 86_400)
        clock.setattr("time.gmtime", lambda: time.struct_time((2001, 1, 1, 0, 0, 0, 0, 1, 0)))
        second = bench.add(trials=1, start=False)
    assert second < first, "the id is older"
    assert [r.id for r in bench.store.runs.find()] == [second, first]
    # The first was made in the future of the clock that will start and finish it.
    with sqlite3.connect(bench.settings.database) as other:
        other.execute("UPDATE runs SET created = created + 86400 WHERE id = ?", (first,))
    actions.ensure_runner(bench.settings)
    runs = [bench.wait(first), bench.wait(second)]
    assert all(r.state == "done" and r.finished is not None and r.started is not None for r in runs)
    assert all(r.finished >= r.started for r in runs)  # type: ignore[operator]
    assert [key.rpartition("-")[0] for key, _, _ in bench.lines("start")] == [first, second]


def test_a_database_locked_by_another_program_for_three_seconds_stops_nothing(bench: Bench) -> None:
    run_id = bench.add(trials=4, seconds=0.2)
    bench.until(lambda: bench.lines("end"))
    with database_locked(bench, 3.0):
        began = time.monotonic()
        assert bench.store.runs.get(run_id).state == "running", "readers are not kept waiting"
        assert time.monotonic() - began < 2
        run = bench.wait(run_id)
    assert (run.state, run.trials_done, run.trials_failed) == ("done", 4, 0)
    assert bench.repeated() == []
