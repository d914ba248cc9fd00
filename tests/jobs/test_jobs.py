"""Runs through real processes: from the queue to every possible end, and back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Limits, Settings
from core.jobs import actions
from core.jobs.locks import FileLock, held
from core.jobs.logs import log_path, tail
from core.recipe.recipe import Grid, Recipe, Sweep
from core.store import Store
from tests.jobs.conftest import Bench, gone

pytestmark = pytest.mark.jobs


def test_a_run_is_done_and_the_runner_leaves(bench: Bench) -> None:
    run = bench.wait(bench.add(trials=3))
    assert (run.state, run.trials_done, run.message) == ("done", 3, "3 of 3 candidates finished.")
    assert (run.done, run.total) == (3, 3)
    assert run.started is not None and run.finished is not None and run.finished >= run.started >= run.created
    assert [r.measurements[0].value for r in bench.store.candidates.results(run_id=run.id)] == [0, 1, 2]
    assert bench.store.series.names(run.id) == ["clock"]
    assert "works on" in tail(log_path(bench.settings.run_folder(run.id)))
    bench.until(lambda: bench.runner_pid() is None)


def test_runs_share_finished_trials_and_keep_their_order(bench: Bench) -> None:
    first = bench.add(trials=2, prefix="same", start=False)
    second = bench.add(trials=4, prefix="same")
    assert bench.wait(second).trials_done == 4
    assert bench.wait(first).trials_done == 2
    assert [key for key, _, _ in bench.lines("start")] == ["same-0", "same-1", "same-2", "same-3"]


def test_two_jobs_never_share_the_device(bench: Bench) -> None:
    runs = [bench.add(trials=2, seconds=0.2) for _ in range(3)]
    for run_id in runs:
        assert bench.wait(run_id).state == "done"
    spans = sorted((start[2], end[2]) for start, end in zip(bench.lines("start"), bench.lines("end"), strict=True))
    assert all(earlier[1] <= later[0] for earlier, later in zip(spans, spans[1:], strict=False))


def test_failed_trials_do_not_stop_the_others_and_can_be_retried(bench: Bench) -> None:
    run = bench.wait(bench.add(trials=3, fail=[1]))
    assert (run.state, run.trials_done, run.trials_failed) == ("done", 2, 1)
    assert run.message == "2 of 3 candidates finished, 1 failed."
    failed = bench.store.trials.of(run.id)[1]
    assert (failed.state, failed.cause, failed.remedy) == ("failed", "This number is refused.", "Choose another.")
    actions.retry(run.id, bench.settings, LOCAL)
    assert bench.wait(run.id).trials_failed == 1
    assert [key.rpartition("-")[2] for key, _, _ in bench.lines("start")] == ["0", "1", "2", "1"]


def test_a_run_whose_trials_all_fail_has_failed(bench: Bench) -> None:
    run = bench.wait(bench.add(trials=2, fail=[0, 1]))
    assert (run.state, run.cause) == ("failed", "This number is refused.")


@pytest.mark.parametrize(
    ("problem", "cause"),
    [
        ("memory", "not enough memory"),
        ("torch", "not enough memory"),
        ("disk", "is full"),
        ("refusal", "The text is too short."),
        ("bug", "Something unexpected happened: KeyError: 'missing'"),
    ],
)
def test_every_failure_is_a_sentence(bench: Bench, problem: str, cause: str) -> None:
    run = bench.wait(bench.add(raises=problem))
    assert run.state == "failed" and cause in run.cause and run.remedy.endswith(".")
    assert "Traceback" not in run.cause + run.remedy
    assert "Traceback" in tail(log_path(bench.settings.run_folder(run.id)))
    assert {t.state for t in bench.store.trials.of(run.id)} == {"queued"}


def test_a_job_that_kills_itself_is_given_up_after_its_attempts(bench: Bench) -> None:
    run = bench.wait(bench.add(trials=3, die=1))
    assert run.state == "failed" and run.attempts == 3
    assert run.cause == (
        "The job was killed 3 times in a row while working on 'Number 1', and not for want of memory: "
        "something else ended it."
    )
    assert [t.state for t in bench.store.trials.of(run.id)] == ["done", "queued", "queued"]
    # Three attempts since the last finished trial; the finished one was computed once.
    assert [key.rpartition("-")[2] for key, _, _ in bench.lines("start")] == ["0", "1", "1", "1", "1"]


def test_an_unknown_kind_is_refused_with_a_sentence(bench: Bench) -> None:
    run_id = bench.store.runs.add("teleport", "From the future", "path:/none", {}, LOCAL)
    run = bench.wait(run_id)
    assert run.state == "failed" and "'teleport'" in run.cause and "Update Retort" in run.remedy


def test_cancel_keeps_finished_trials_and_resume_goes_on(bench: Bench) -> None:
    run_id = bench.add(trials=5, seconds=0.3)
    bench.until(lambda: len(bench.lines("end")) >= 2)
    actions.cancel(run_id, bench.settings, LOCAL)
    run = bench.wait(run_id)
    assert run.state == "cancelled" and run.trials_done >= 2 and not run.cancel_requested
    assert {t.state for t in bench.store.trials.of(run_id)} == {"done", "queued"}
    actions.resume(run_id, bench.settings, LOCAL)
    assert bench.wait(run_id).trials_done == 5
    assert bench.repeated() == []


def test_a_job_that_ignores_the_request_is_ended_with_all_it_started(bench: Bench) -> None:
    run_id = bench.add(trials=1, seconds=120, stubborn=True, child=True)
    bench.until(lambda: bench.lines("start"))
    group = bench.worker_pid(run_id)
    assert group is not None
    children = [int(p) for p in Path(f"/proc/{group}/task/{group}/children").read_text().split()]
    assert len(children) == 1
    began = time.monotonic()
    actions.cancel(run_id, bench.settings, LOCAL)
    assert bench.wait(run_id).state == "cancelled"
    assert time.monotonic() - began >= bench.settings.limits.cancel_grace_seconds
    bench.until(lambda: all(gone(p) for p in children))


def test_a_waiting_run_is_cancelled_at_once(bench: Bench) -> None:
    first, second = bench.add(trials=2, seconds=0.5), bench.add()
    actions.cancel(second, bench.settings, LOCAL)
    assert bench.store.runs.get(second).state == "cancelled"
    assert bench.wait(first).state == "done"
    assert all(second not in key for key, _, _ in bench.lines("start"))


def test_delete_removes_the_run_and_only_its_own_candidates(bench: Bench) -> None:
    first = bench.add(trials=2, prefix="same")
    with pytest.raises(RetortError, match="has not ended"):
        actions.delete(first, bench.settings, LOCAL)
    bench.wait(first)
    second = bench.add(trials=3, prefix="same")
    bench.wait(second)
    actions.delete(second, bench.settings, LOCAL)
    assert [r.key for r in bench.store.candidates.results()] == ["same-0", "same-1"]
    assert {p.name for p in (bench.settings.home / "candidates").iterdir()} == {"same-0", "same-1"}
    assert not bench.settings.run_folder(second).exists() and bench.settings.run_folder(first).exists()
    assert not (bench.settings.home / "trash").exists()
    with pytest.raises(RetortError, match="no run"):
        actions.delete(second, bench.settings, LOCAL)


@pytest.mark.parametrize("reference", ["run:{run}/{run}-0", "run:{run}-0"])
def test_a_run_that_another_builds_on_stays(bench: Bench, reference: str) -> None:
    parent = bench.add(trials=1)
    bench.wait(parent)
    child = bench.store.runs.add("sweep", "Further", reference.format(run=parent), {}, LOCAL)
    with pytest.raises(RetortError, match="'Further' .*, which is queued, needs what this run made"):
        actions.delete(parent, bench.settings, LOCAL)
    bench.store.runs.request_cancel(child)
    actions.delete(parent, bench.settings, LOCAL)


def test_retry_says_why_not(bench: Bench) -> None:
    run_id = bench.add(trials=1, seconds=0.5)
    with pytest.raises(RetortError, match="already"):
        actions.retry(run_id, bench.settings, LOCAL)
    bench.wait(run_id)
    with pytest.raises(RetortError, match="finished"):
        actions.retry(run_id, bench.settings, LOCAL)


def test_limits_are_checked_before_anything_is_stored(home: Settings) -> None:
    settings = replace(home, limits=Limits(trials=2, queued_runs=0))
    grid = Grid(method=("magnitude",), sparsity=(0.1, 0.2, 0.3))
    with pytest.raises(RetortError, match="3 candidates; at most 2"):
        actions.submit(Recipe(name="Big", model="path:/none", sweep=Sweep(grid=(grid,))), settings, LOCAL)
    small = Recipe(name="Small", model="path:/none", sweep=Sweep(grid=(grid.model_copy(update={"sparsity": (0.1,)}),)))
    with pytest.raises(RetortError, match="0 runs are waiting already"):
        actions.submit(small, settings, LOCAL)
    assert Store(settings).runs.count() == 0


def test_fetching_a_sample_twice_is_one_run(bench: Bench) -> None:
    lock = FileLock(bench.settings.locks / "runner.lock")
    assert lock.acquire()  # so that nothing is really fetched
    first = actions.submit_fetch("wiki", bench.settings, LOCAL)
    assert actions.submit_fetch("wiki", bench.settings, LOCAL) == first
    actions.cancel(first, bench.settings, LOCAL)
    assert actions.submit_fetch("wiki", bench.settings, LOCAL) != first
    lock.release()
    for run in bench.store.runs.find():
        actions.cancel(run.id, bench.settings, LOCAL)


def test_a_detached_runner_outlives_the_process_that_started_it(bench: Bench) -> None:
    run_id = bench.add(trials=3, seconds=0.3, start=False)
    program = (
        "import sys; from core.jobs import actions; from core.base.settings import Settings;"
        "actions.ensure_runner(Settings.load(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(bench.settings.home)], check=True, cwd=Path.cwd())
    run = bench.until(lambda: (r := bench.store.runs.get(run_id)).state == "done" and r)
    assert run.trials_done == 3
    runner = bench.runner_pid()
    assert runner is None or os.getsid(runner) == runner


def test_a_lock_lives_as_long_as_the_child_that_inherited_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "a.lock")
    assert lock.acquire()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.descriptor,))
    lock.release()
    assert held(lock.path) and not FileLock(lock.path).acquire(patience=0.05)
    child.kill()
    child.wait()
    assert not held(lock.path) and FileLock(lock.path).acquire()


def test_the_tail_of_a_log_is_short_and_clean(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert tail(path) == ""
    path.write_bytes(b"old\n" * 100_000 + b"10 %\r50 %\r100 %\n\x1b[31mred\x1b[0m \x00\xff\nlast")
    text = tail(path, kilobytes=1)
    assert len(text) < 1100 and text.startswith("old\n")
    assert text.endswith("100 %\nred \\x00\N{REPLACEMENT CHARACTER}\nlast")
