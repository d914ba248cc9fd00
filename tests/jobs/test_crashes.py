"""Real SIGKILLs, at random moments, to the runner, the worker or both: nothing is lost, repeated or stuck."""

from __future__ import annotations

import random
import time

import pytest

from core.base.roles import LOCAL
from core.jobs import actions
from core.recipe.results import Result
from tests.jobs.conftest import Bench

pytestmark = pytest.mark.jobs


def assert_whole(bench: Bench, run_id: str, trials: int) -> None:
    """The run is done, every trial has its one figure, and none was repeated after it had ended."""
    run = bench.wait(run_id)
    assert (run.state, run.trials_done) == ("done", trials)
    assert {t.state for t in bench.store.trials.of(run_id)} == {"done"}
    assert [r.measurements[0].value for r in bench.store.candidates.results(run_id=run_id)] == list(range(trials))
    assert bench.repeated() == []
    for path in (bench.settings.home / "candidates").glob("*/[!.]*"):  # the sums beside a file are hidden
        assert Result.model_validate_json(path.read_text()).key == path.parent.name, "a half-written file is left"


def test_a_killed_runner_comes_back_and_adopts_the_living_worker(bench: Bench) -> None:
    run_id = bench.add(trials=6, seconds=0.3)
    bench.until(lambda: bench.lines("start"))
    worker = bench.worker_pid(run_id)
    assert bench.kill(bench.runner_pid())
    assert bench.worker_pid(run_id) == worker, "the worker goes on without its runner"
    assert actions.ensure_runner(bench.settings)
    assert_whole(bench, run_id, 6)
    assert {pid for _, pid, _ in bench.lines("start")} == {worker}, "no second worker was started"


def test_a_worker_whose_runner_was_killed_calls_one_for_the_rest_of_the_queue(bench: Bench) -> None:
    first, second = bench.add(trials=2, seconds=0.4), bench.add(trials=2)
    bench.until(lambda: bench.lines("start"))
    bench.kill(bench.runner_pid())
    bench.until(lambda: bench.store.runs.get(second).state == "done")  # nobody else asks for a runner
    assert bench.store.runs.get(first).state == "done"


def test_a_killed_worker_is_started_again_where_it_was(bench: Bench) -> None:
    run_id = bench.add(trials=4, seconds=0.3)
    bench.until(lambda: len(bench.lines("end")) == 2)
    bench.kill(bench.worker_pid(run_id))
    assert_whole(bench, run_id, 4)
    assert len({pid for _, pid, _ in bench.lines("start")}) == 2
    (event,) = bench.store.events.tail(run_id)
    assert event.level == "warning" and "starts again" in event.message


def test_both_killed_at_once(bench: Bench) -> None:
    run_id = bench.add(trials=4, seconds=0.3)
    bench.until(lambda: len(bench.lines("end")) == 1)
    bench.kill(bench.runner_pid())
    bench.kill(bench.worker_pid(run_id))
    assert bench.store.runs.get(run_id).state == "running", "nobody is there to say otherwise, yet"
    assert_whole(bench, run_id, 4)


def test_an_adopted_worker_can_be_cancelled(bench: Bench) -> None:
    run_id = bench.add(trials=1, seconds=120, stubborn=True)
    bench.until(lambda: bench.lines("start"))
    bench.kill(bench.runner_pid())
    actions.cancel(run_id, bench.settings, LOCAL)
    assert bench.wait(run_id).state == "cancelled"
    assert bench.worker_pid(run_id) is None


def test_a_terminated_worker_is_no_cancelled_run(bench: Bench) -> None:
    """A machine that shuts down sends SIGTERM too: the run goes on afterwards."""
    import os
    import signal

    run_id = bench.add(trials=3, seconds=0.3)
    bench.until(lambda: bench.lines("start"))
    pid = bench.worker_pid(run_id)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    assert_whole(bench, run_id, 3)
    assert len({pid for _, pid, _ in bench.lines("start")}) == 2


def test_a_cancel_survives_the_death_of_everyone(bench: Bench) -> None:
    run_id = bench.add(trials=3, seconds=0.5)
    bench.until(lambda: bench.lines("end"))
    bench.kill(bench.runner_pid())
    bench.store.runs.request_cancel(run_id)
    bench.kill(bench.worker_pid(run_id))
    run = bench.wait(run_id)
    assert run.state == "cancelled" and run.trials_done >= 1


@pytest.mark.parametrize("seed", range(3))
def test_random_kills(bench: Bench, seed: int) -> None:
    """Kills as soon as there is somebody to kill, while two runs share some trials."""
    dice = random.Random(seed)
    runs = {
        bench.add(trials=8, seconds=0.2, prefix="shared"): 8,
        bench.add(trials=12, seconds=0.2, prefix="shared"): 12,
    }
    killed = 0
    while killed < 8 and bench.store.runs.counts().active:
        time.sleep(dice.choice((0.0, 0.02, 0.3, 0.8)) * dice.random())
        victims = dice.choice(("runner", "worker", "both"))
        if victims in ("runner", "both"):
            killed += bench.kill(bench.runner_pid())
        if victims in ("worker", "both"):
            killed += sum(bench.kill(bench.worker_pid(r)) for r in runs)
        # Attempts are counted from the last finished trial; this many kills may come without one.
        for run in bench.store.runs.find(states=["failed"]):
            actions.retry(run.id, bench.settings, LOCAL)
        actions.ensure_runner(bench.settings)
    assert killed >= 3
    for run_id, trials in runs.items():
        while bench.wait(run_id).state == "failed":
            actions.retry(run_id, bench.settings, LOCAL)
        assert_whole(bench, run_id, trials)
