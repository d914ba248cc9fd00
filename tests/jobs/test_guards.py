"""Jobs that are too large, grow too large or take too long: refused, stopped or ended, always with a sentence."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.analysis.doctor import memory_needed
from core.analysis.needs import need_of
from core.base import memory
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.jobs import actions, failures, guards
from core.jobs.executors import device_lock
from core.jobs.locks import FileLock
from core.jobs.logs import log_path, tail
from core.recipe.distil import Term
from core.recipe.recipe import Distil, Evaluation, Grid, Prune, Recipe, Sweep, Target
from core.registry.methods import METHODS
from core.store import Store
from tests.jobs.conftest import Bench

pytestmark = pytest.mark.jobs


def limited(bench: Bench, **limits: Any) -> Bench:
    """The same home, whose processes are started with these limits."""
    settings = replace(bench.settings, limits=replace(bench.settings.limits, **limits))
    return Bench(settings, Store(settings), bench.ledger)


def sweep(settings: Settings, tiny_llama: Path) -> Recipe:
    folder = settings.home / "models" / "tiny"
    if not folder.exists():
        shutil.copytree(tiny_llama, folder)
    text = settings.home / "models" / "text.txt"
    text.write_text("The river ran slowly past the old mill.\n" * 400)
    return Recipe(
        name="Sweep",
        model=f"path:{folder}",
        dtype="float32",
        latency=None,
        evaluation=Evaluation(data=f"path:{text}", split=None, tokens=256, window=32),
        sweep=Sweep(grid=(Grid(method=("magnitude",), sparsity=(0.5,)),)),
    )


def test_what_can_never_fit_is_refused_before_it_is_queued(bench: Bench, tiny_llama: Path) -> None:
    recipe = sweep(bench.settings, tiny_llama)
    needs = memory_needed(METHODS["magnitude"], anatomy(tiny_llama), "float32")
    small = limited(bench, memory=str(needs - 1000))
    with pytest.raises(RetortError, match=r"needs about \d+\.\d kB of memory \(Magnitude 50 %\), and a job may take"):
        actions.submit(recipe, small.settings, LOCAL)
    assert small.store.runs.count() == 0
    guards.refuse_oversized(recipe, limited(bench, memory=str(needs)).settings)


def test_a_worker_refuses_before_it_opens_the_model(bench: Bench, tiny_llama: Path) -> None:
    """Queued without a look at its need; the worker goes by the limit of whoever queued it."""
    recipe, small = sweep(bench.settings, tiny_llama), limited(bench, memory="100 kB")
    run = bench.wait(small.store.runs.add("sweep", "Sweep", recipe.model, recipe.model_dump(mode="json"), LOCAL))
    assert run.state == "failed" and "a job may take 100.0 kB" in run.cause and run.trials_total == 0
    assert "core prune" in run.remedy


def test_a_limit_that_cannot_be_read_is_said_when_a_run_is_submitted(bench: Bench, tiny_llama: Path) -> None:
    recipe = sweep(bench.settings, tiny_llama)
    with pytest.raises(RetortError, match="memory limit 'lots' cannot be read"):
        actions.submit(recipe, limited(bench, memory="lots").settings, LOCAL)
    with pytest.raises(RetortError, match="time limit 'soon' cannot be read"):
        actions.submit(recipe, limited(bench, minutes="soon").settings, LOCAL)


def test_the_need_of_a_recipe_is_that_of_its_hungriest_step(home: Settings, tiny_llama: Path) -> None:
    found, model = anatomy(tiny_llama), "path:/none"
    weights = found.bytes_in("float32")
    prune = Prune(method="block_influence", target=Target(remove_layers=1))
    train = Recipe(name="a", model=model, dtype="float32", steps=(Distil(),))
    after = Recipe(name="b", model=model, dtype="float32", steps=(prune, Distil()))
    lesson = Distil(step="finetune", losses=(Term(loss="cross_entropy"),))
    tuned = Recipe(name="c", model=model, dtype="float32", steps=(lesson,))
    assert need_of(train, found, home).bytes == weights * 5, "the teacher, and four numbers for each that learns"
    assert "Distilled" in need_of(train, found, home).step
    assert need_of(tuned, found, home).bytes == weights * 4
    # How much smaller the pruned student is nobody knows yet: only what is certain counts.
    assert need_of(after, found, home).bytes == memory_needed(METHODS["block_influence"], found, "float32")


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_job_that_grows_past_its_limit_is_stopped_and_goes_on_later(bench: Bench, stubborn: bool) -> None:
    fits, small = bench.ledger.with_name("fits"), limited(bench, memory="300 MB")
    run_id = small.add(trials=4, eats=2, fits=str(fits), stubborn=stubborn)
    run = small.wait(run_id)
    assert run.state == "failed" and run.attempts == 0, "no second try at what cannot end otherwise"
    assert "The job had grown to 3" in run.cause and "its limit is 300.0 MB" in run.cause
    assert "last checkpoint are kept" in run.remedy
    assert [t.state for t in small.store.trials.of(run_id)] == ["done", "done", "queued", "queued"]
    fits.touch()
    actions.resume(run_id, small.settings, LOCAL)
    assert small.wait(run_id).trials_done == 4 and small.repeated() == []


def test_a_run_stops_at_its_time_limit_and_goes_on_when_it_is_resumed(bench: Bench) -> None:
    short = limited(bench, minutes=str(2.5 / 60))
    run_id = short.add(trials=30, seconds=0.2)
    run = short.wait(run_id)
    assert run.state == "failed" and "reached its time limit of 0.0416667 minutes" in run.cause, run.cause
    assert 0 < run.trials_done < 30 and "Resume it" in run.remedy
    actions.resume(run_id, bench.settings, LOCAL)  # by somebody without the limit, whoever started the runner
    assert bench.wait(run_id).trials_done == 30 and bench.repeated() == []


def test_a_recipe_may_set_its_own_time_limit(bench: Bench, tiny_llama: Path) -> None:
    """The worker needs longer than that to import torch, so it stops at its first checkpoint."""
    recipe = sweep(bench.settings, tiny_llama).model_copy(update={"minutes": 0.001})
    run = bench.wait(actions.submit(recipe, bench.settings, LOCAL))
    assert run.state == "failed" and "time limit of 0.001 minutes" in run.cause, bench.log(run.id)


def test_torch_says_it_in_its_own_words() -> None:
    import torch

    with pytest.raises(RuntimeError) as refusal:
        torch.empty(1 << 50)
    assert failures.is_out_of_memory(refusal.value)
    assert not failures.is_out_of_memory(RuntimeError("the memory of an elephant"))


@pytest.mark.parametrize(
    ("status", "ran_out", "said"),
    [
        (-9, True, "The system ended the job, most likely because memory ran out."),
        (None, True, "The system ended the job, most likely because memory ran out."),
        (-9, None, "The job was killed, perhaps because memory ran out."),
        (-9, False, "The job was killed, and not for want of memory: something else ended it."),
        (None, None, "The job stopped without a word; perhaps memory ran out."),
        (None, False, "The job stopped without a word."),
        (-11, None, "The job stopped without a word (SIGSEGV)."),
        (1, False, "The job stopped without a word."),
    ],
)
def test_a_lost_job_is_told_by_what_is_known(status: int | None, ran_out: bool | None, said: str) -> None:
    assert failures.lost(status, ran_out, [], 1).cause == said


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of 250 MB for this test alone."""
    groups = [folder for folder, _ in memory._groups(memory.CGROUPS, memory.MEMBERSHIP)]
    folder = groups[0] / f"retort-test-{os.getpid()}-{time.monotonic_ns()}" if groups else None
    if folder is None or not os.access(groups[0], os.W_OK):
        pytest.skip("needs the right to make a control group")
    try:
        folder.mkdir()
        limit = next(f for f in ("memory.limit_in_bytes", "memory.max") if (folder / f).exists())
        (folder / limit).write_text("250000000")
    except (OSError, StopIteration):
        with suppress(OSError):
            folder.rmdir()
        pytest.skip("needs the right to make a control group")
    yield folder
    with suppress(OSError):
        folder.rmdir()


@pytest.mark.parametrize("adopted", [False, True])
def test_a_job_the_kernel_ends_for_memory_is_told_so(small_group: Path, bench: Bench, adopted: bool) -> None:
    """The kernel's own killer; with `adopted`, no runner saw the last worker die."""
    bench = limited(bench, memory="100 GB", attempts=1)  # so that the watch does not come before it
    run_id = bench.add(trials=2, seconds=0.5, eats=1, fits="/nowhere", start=False)
    gate = FileLock(device_lock(bench.settings))
    assert gate.acquire()  # so that the runner waits until it is in its group
    actions.ensure_runner(bench.settings)
    runner = bench.until(bench.runner_pid)
    (small_group / "cgroup.procs").write_text(str(runner))
    gate.release()
    if adopted:
        bench.until(lambda: len([1 for key, *_ in bench.lines("start") if key.endswith("-1")]) == 2)
        worker = bench.worker_pid(run_id)
        bench.kill(runner)
        assert worker is not None and bench.store.runs.get(run_id).attempts == 1
    run = bench.wait(run_id)
    assert run.state == "failed" and run.trials_done == 1, bench.log(run_id)
    assert run.cause == ("The system ended the job while working on 'Number 1', most likely because memory ran out."), (
        tail(log_path(bench.settings.run_folder(run_id)))
    )
    assert bench.repeated() == []
