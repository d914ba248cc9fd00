"""A sweep on two real nodes finds what the local executor finds, and loses nothing with a node."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.base.roles import LOCAL
from core.base.settings import Limits, Settings
from core.engine.pipeline import execute
from core.jobs import actions
from core.jobs.context import RunHooks
from core.jobs.reporter import StoreReporter
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.store import Store
from tests.cluster.conftest import TwoNodes
from tests.jobs import tiny_study
from tests.jobs.tiny_study import TIMED

pytestmark = [pytest.mark.jobs, pytest.mark.slow]


def recipe(models: Path, executor: str, sparsities: tuple[float, ...] = (0.5,)) -> Recipe:
    return tiny_study.recipe(models, sparsities, keep="all").model_copy(update={"executor": executor})


class Study:
    """A home of its own over the same model and texts, and one run done in this process."""

    def __init__(self, folder: Path, models: Path, cluster: TwoNodes) -> None:
        self.models = models
        self.settings = Settings(home=folder.resolve() / "home", roots=(models,), cluster=cluster.address)
        self.store = Store(self.settings)

    def run(self, recipe: Recipe) -> dict[str, Result]:
        """Results by label."""
        self.id = self.store.runs.add("sweep", recipe.name, recipe.model, recipe.model_dump(mode="json"), LOCAL)
        assert self.store.runs.claim(self.id)
        reporter = StoreReporter(self.store, self.id)
        execute(recipe, RunHooks(self.settings, self.store, self.store.runs.get(self.id), reporter))
        return {r.label: r for r in self.store.candidates.results(run_id=self.id)}

    def events(self) -> list[Any]:
        return self.store.events.tail(self.id, after=0)

    def model_bytes(self, key: str) -> bytes:
        return (self.store.candidates.folder(key) / "model" / "model.safetensors").read_bytes()


def figures(results: dict[str, Result]) -> dict[str, dict[str, float]]:
    """What was found, without what a clock or the machine's load decides."""
    return {k: {m.metric: m.value for m in r.measurements if m.metric not in TIMED} for k, r in results.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("shelf").resolve()
    shutil.copytree(tiny_llama, folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, models: Path, two_nodes: TwoNodes) -> tuple[Study, Any]:
    """The study by the local executor: what the cluster must find too."""
    study = Study(tmp_path_factory.mktemp("local"), models, two_nodes)
    return study, study.run(recipe(study.models, "local", (0.3, 0.5)))


def test_two_nodes_find_what_one_machine_finds(
    tmp_path: Path, models: Path, cluster: TwoNodes, local: tuple[Study, Any]
) -> None:
    here, expected = local
    study = Study(tmp_path, models, cluster)
    found = study.run(recipe(study.models, "ray", (0.3, 0.5)))

    assert len(expected) == 6 and all("perplexity" in f for f in figures(expected).values())
    assert figures(found) == figures(expected)
    assert {k: r.key for k, r in found.items()} == {k: r.key for k, r in expected.items()}
    assert {k: r.facts.get("sparsity_pruned") for k, r in found.items()} == {
        k: r.facts.get("sparsity_pruned") for k, r in expected.items()
    }
    kept = [r for r in found.values() if r.saved]
    assert len(kept) == 5 and all(study.model_bytes(r.key) == here.model_bytes(r.key) for r in kept)
    leftovers = [p for p in (study.settings.home / "candidates").iterdir() if p.name.startswith(".")]
    assert leftovers == []

    received = [e.message for e in study.events() if "received the model" in e.message]
    nodes = {m.split("Node ")[1].split()[0] for m in received}
    assert len(nodes) == 2 and len(received) == 2, "both nodes worked, and each got the model once"

    for result in found.values():
        timed = [m for m in result.measurements if m.metric in TIMED]
        assert timed and all(m.settings["machine"] == result.facts["machine"] for m in timed)
        decode = next(m for m in timed if m.metric == "decode_ms")
        assert result.baseline or decode.settings["baseline_value"] > 0, "timed beside the baseline, on that node"


def test_a_cancel_reaches_the_nodes_and_the_run_goes_on_later(tmp_path: Path, models: Path, cluster: TwoNodes) -> None:
    study = Study(tmp_path, models, cluster)
    settings = replace(study.settings, limits=Limits(runner_idle_seconds=1.0))
    many = recipe(study.models, "ray", tuple(i / 100 for i in range(5, 95)))
    run_id = actions.submit(many, settings, LOCAL)
    give_up = time.monotonic() + 150
    while (run := study.store.runs.get(run_id)).trials_done < 2:
        assert run.active and time.monotonic() < give_up, run
        time.sleep(0.05)
    actions.cancel(run_id, settings, LOCAL)
    run = actions.wait(run_id, settings, timeout=60)
    assert run.state == "cancelled" and 2 <= run.trials_done < 100, run
    assert idle_again(cluster), "no node works for a cancelled run"


def idle_again(cluster: TwoNodes) -> bool:
    """Whether both devices are free within half a minute."""
    from core.cluster.connection import connected

    with connected(Settings(home=Path("/nowhere"), cluster=cluster.address)) as ray:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            if ray.available_resources().get("retort_device", 0) == 2:
                return True
            time.sleep(0.2)
    return False


def test_a_node_killed_in_the_middle_changes_no_figure(
    tmp_path: Path, models: Path, cluster: TwoNodes, local: tuple[Study, Any]
) -> None:
    _, expected = local
    study = Study(tmp_path, models, cluster)
    killer = threading.Thread(target=kill_in_the_middle, args=(study, cluster), daemon=True)
    killer.start()
    found = study.run(recipe(study.models, "ray", (0.3, 0.5)))
    killer.join(timeout=5)
    assert cluster.second is not None and cluster.second.poll() is not None, "the node was killed before the end"
    assert figures(found) == figures(expected)
    lost = [e.message for e in study.events() if "its node was lost" in e.message]
    assert lost, "a trial was on it"


def kill_in_the_middle(study: Study, cluster: TwoNodes) -> None:
    """Kills the second node while it measures a trial, once another is done."""
    while not (study.store.candidates.rows() and cluster.second_is_busy()):
        time.sleep(0.02)
    cluster.kill_second()
