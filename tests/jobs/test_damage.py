"""Models that were kept are damaged: real runs notice, make them again, and find the same figures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.catalogue.references import RUN_RESULT, resolve
from core.jobs import actions
from core.jobs.home_check import check_home
from core.recipe.distil import TrainingBudget, TrainingData
from core.recipe.recipe import Distil, Evaluate, Export, Prune, Recipe
from tests.damage import HARMS, delete, flip, truncate
from tests.jobs import tiny_study
from tests.jobs.conftest import Bench
from tests.jobs.test_real_sweep import bench_of, figures

pytestmark = [pytest.mark.jobs, pytest.mark.slow]
WEIGHTS = "model/model.safetensors"


def steps(models: Path) -> Recipe:
    """Pruned, then trained a little, then exported; both models are kept."""
    sweep = tiny_study.recipe(models)
    return Recipe(
        name="Tiny steps",
        model=sweep.model,
        calibration=sweep.calibration,
        evaluation=sweep.evaluation,
        dtype="float32",
        steps=(
            Prune(method="wanda", sparsity=0.5),
            Evaluate(),
            Distil(
                data=TrainingData(data=sweep.calibration.data, split=None, length=32),
                batch=4,
                budget=TrainingBudget(steps=4),
                held_out=4,
                evaluate_every=2,
                checkpoint_every=2,
            ),
            Evaluate(),
            Export(format="huggingface"),
        ),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[tuple[Bench, str]]:
    """A home where the recipe has run; tests leave it as whole as they found it."""
    bench = bench_of(tmp_path_factory.mktemp("made"))
    models = bench.settings.home / "models"
    shutil.copytree(tiny_llama, models / "tiny")
    run = bench.wait(actions.submit(steps(models), bench.settings, LOCAL), timeout=600)
    assert run.state == "done", bench.log(run.id)
    yield bench, run.id
    bench.stop()


def kept(bench: Bench, run_id: str) -> list[Path]:
    """Folders of the pruned and of the trained candidate."""
    return [bench.store.candidates.folder(t.key) for t in bench.store.trials.of(run_id)[1:]]


def bytes_of(bench: Bench, run_id: str) -> list[bytes]:
    return [(folder / WEIGHTS).read_bytes() for folder in kept(bench, run_id)]


def resume(bench: Bench, run_id: str) -> list[str]:
    """Runs it again to its end; what it said since."""
    seen = [e.id for e in bench.store.events.tail(run_id)][-1]
    actions.retry(run_id, bench.settings, LOCAL)
    run = bench.wait(run_id, timeout=600)
    assert run.state == "done" and run.trials_done == run.trials_total == 3, bench.log(run_id)
    return [e.message for e in bench.store.events.tail(run_id, after=seen)]


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_model_is_named_and_made_again(made: tuple[Bench, str], harm: str) -> None:
    bench, run_id = made
    expected, weights = figures(bench.store, run_id), bytes_of(bench, run_id)
    (pruned, trained) = kept(bench, run_id)
    HARMS[harm](pruned / WEIGHTS)
    for reference in (f"run:{pruned.name}", f"run:{run_id}/{pruned.name}"):
        with pytest.raises(RetortError, match="which Retort saved itself, is damaged: model.safetensors") as refusal:
            resolve(reference, bench.settings, LOCAL)
        assert f"Resume the run 'Tiny steps' on its page, or with 'python -m core resume {run_id}'" in str(
            refusal.value
        )
    assert resolve(f"run:{run_id}", bench.settings, LOCAL).folder == trained / "model"  # the other one is whole
    assert [p.where for p in check_home(bench.settings)] == [f"candidates/{pruned.name}/model"]
    said = resume(bench, run_id)
    assert len([m for m in said if "damaged" in m]) == 1 and "made again from the recipe" in " ".join(said)
    assert figures(bench.store, run_id) == expected and bytes_of(bench, run_id) == weights
    assert resolve(f"run:{pruned.name}", bench.settings, LOCAL).folder == pruned / "model"
    assert check_home(bench.settings) == []
    with pytest.raises(RetortError, match="finished"):
        actions.retry(run_id, bench.settings, LOCAL)


def test_whatever_is_damaged_at_once_comes_back(made: tuple[Bench, str]) -> None:
    bench, run_id = made
    expected, weights = figures(bench.store, run_id), bytes_of(bench, run_id)
    (pruned, trained), folder = kept(bench, run_id), bench.settings.run_folder(run_id)
    (export,) = (folder / "exports").glob("*-huggingface")
    delete(pruned / "model")
    truncate(trained / "model" / "tokenizer.json")
    flip(export / "model.safetensors")
    truncate(folder / RUN_RESULT)
    for path in (bench.settings.cache / "statistics").glob("*/block-0001.safetensors"):
        flip(path)
    for path in (folder / "checkpoints").glob("*/best-*.safetensors"):
        flip(path)
    with pytest.raises(RetortError, match="which model the run .* ended with, .* is damaged") as refusal:
        resolve(f"run:{run_id}", bench.settings, LOCAL)
    assert f"python -m core resume {run_id}" in refusal.value.remedy
    assert len(check_home(bench.settings)) >= 6
    said = " ".join(resume(bench, run_id))
    assert "its folder is missing" in said and "tokenizer.json" in said and "The export in" in said
    assert figures(bench.store, run_id) == expected and bytes_of(bench, run_id) == weights
    assert resolve(f"run:{run_id}", bench.settings, LOCAL).folder == trained / "model"
    assert check_home(bench.settings) == []


def test_a_sweep_keeps_what_is_whole_and_makes_the_rest_again(tmp_path: Path, tiny_llama: Path) -> None:
    bench = bench_of(tmp_path)
    models = bench.settings.home / "models"
    shutil.copytree(tiny_llama, models / "tiny")
    try:
        run_id = actions.submit(tiny_study.recipe(models, keep="all"), bench.settings, LOCAL)
        assert bench.wait(run_id, timeout=600).state == "done", bench.log(run_id)
        expected = figures(bench.store, run_id)
        folders = [bench.store.candidates.folder(t.key) for t in bench.store.trials.of(run_id)[1:]]
        times = [(f / WEIGHTS).stat().st_mtime_ns for f in folders]
        flip(folders[1] / WEIGHTS)
        actions.retry(run_id, bench.settings, LOCAL)
        assert bench.wait(run_id, timeout=600).state == "done", bench.log(run_id)
        assert figures(bench.store, run_id) == expected and check_home(bench.settings) == []
        again = [(f / WEIGHTS).stat().st_mtime_ns for f in folders]
        assert [a == b for a, b in zip(again, times, strict=True)] == [True, False, True]
        # The model of a study that keeps none is not made again, and does not count as kept any more.
        truncate(folders[0] / WEIGHTS)
        second = actions.submit(tiny_study.recipe(models, keep="none"), bench.settings, LOCAL)
        assert bench.wait(second, timeout=600).state == "done", bench.log(second)
        assert figures(bench.store, second) == expected
        assert [r.saved for r in bench.store.candidates.rows(run_id=second)] == [False, False, True, True]
    finally:
        bench.stop()
