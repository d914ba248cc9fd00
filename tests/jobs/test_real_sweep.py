"""A sweep of a real (tiny) model: killed again and again, its figures are those of an undisturbed one."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.base.settings import Limits, Settings
from core.jobs import actions
from core.recipe.recipe import Recipe
from core.store import Store
from tests.jobs import tiny_study
from tests.jobs.conftest import Bench
from tests.jobs.tiny_study import TIMED

pytestmark = [pytest.mark.jobs, pytest.mark.slow, pytest.mark.long]
TRIALS = 4


def recipe(models: Path, tiny_llama: Path) -> Recipe:
    shutil.copytree(tiny_llama, models / "tiny")
    return tiny_study.recipe(models)


def figures(store: Store, run_id: str) -> dict[str, dict[str, float]]:
    """What a sweep found, by label of the candidate, without what a clock or the machine's load decides."""
    return {
        r.label: {m.metric: m.value for m in r.measurements if m.metric not in TIMED}
        for r in store.candidates.results(run_id=run_id)
    }


def bench_of(folder: Path) -> Bench:
    home = folder / "home"
    (home / "models").mkdir(parents=True)
    settings = Settings(home=home.resolve(), roots=(home.resolve() / "models",))
    settings = replace(settings, limits=Limits(runner_idle_seconds=1.0))
    return Bench(settings, Store(settings), folder / "ledger.txt")


def test_a_sweep_killed_at_random_finds_the_same(tmp_path: Path, tiny_llama: Path) -> None:
    calm, hunted = bench_of(tmp_path / "calm"), bench_of(tmp_path / "hunted")
    try:
        run = calm.wait(
            actions.submit(recipe(calm.settings.home / "models", tiny_llama), calm.settings, LOCAL), timeout=300
        )
        assert (run.state, run.trials_done) == ("done", TRIALS), calm.log(run.id)
        expected = figures(calm.store, run.id)
        run_id = actions.submit(recipe(hunted.settings.home / "models", tiny_llama), hunted.settings, LOCAL)
        assert hunt(hunted, run_id) >= 3
        assert len(expected) == TRIALS and all("perplexity" in f for f in expected.values())
        assert figures(hunted.store, run_id) == expected
    finally:
        calm.stop()
        hunted.stop()


def hunt(bench: Bench, run_id: str) -> int:
    """Kills the worker, and every other time the runner, shortly after each trial; returns the number of kills.

    Asserts that a trial that was finished stays so, as it was.
    """
    dice, killed = random.Random(7), 0
    ended: dict[str, float | None] = {}
    while (run := bench.store.runs.get(run_id)).state != "done":
        assert run.active, bench.log(run_id)
        wait_for_progress(bench, run_id, len(ended))
        time.sleep(dice.random() * 0.5)
        killed += bench.kill(bench.worker_pid(run_id))
        if dice.random() < 0.5:
            bench.kill(bench.runner_pid())
        for trial in bench.store.trials.of(run_id):
            if trial.state == "done":
                assert ended.setdefault(trial.key, trial.finished) == trial.finished, "a finished trial was repeated"
        actions.ensure_runner(bench.settings)
    return killed


def wait_for_progress(bench: Bench, run_id: str, seen: int) -> None:
    bench.until(lambda: not (r := bench.store.runs.get(run_id)).active or r.trials_done > seen, timeout=120)
