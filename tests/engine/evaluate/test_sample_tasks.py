"""The real sample model on a real task: a figure known from an independent harness."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.samples import is_fetched
from core.engine.evaluate.choice import choice_measurements
from core.engine.evaluate.harness import harness_measurements
from core.engine.evaluate.tasks.items import load_items
from core.engine.models.load import load_model
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS

pytestmark = pytest.mark.sample


def test_copa_accuracy_is_the_one_the_harness_finds(sample_home: Settings) -> None:
    if not is_fetched(SAMPLES["tasks"], sample_home):
        pytest.skip("needs sample:tasks; fetch it with 'python -m core fetch tasks' first")
    loaded = load_model(sample_home.samples / "smollm2-135m", "float32")
    items = load_items(TASK_SETS["copa"], sample_home.samples / "tasks")
    accuracy, _ = choice_measurements(loaded.model, loaded.tokenizer, TASK_SETS["copa"], items, 16, InMemoryReporter())
    assert accuracy.value == pytest.approx(0.66, abs=0.011)  # one item of 100 may fall either way


@pytest.mark.slow
@pytest.mark.parametrize(("count", "reads"), [(100, 384), pytest.param(500, 1_536, marks=pytest.mark.long)])
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed")
def test_every_bundled_set_is_answered_as_by_the_harness_item_by_item(
    tiny_llama: Path, sample_home: Settings, tmp_path: Path, count: int, reads: int
) -> None:
    """A model of random weights: hardly any answer is sure, and long questions are cut at their start by both."""
    if not is_fetched(SAMPLES["tasks"], sample_home):
        pytest.skip("needs sample:tasks; fetch it with 'python -m core fetch tasks' first")
    sets, reporter = sample_home.samples / "tasks", InMemoryReporter()
    folder = shutil.copytree(tiny_llama, tmp_path / "longer")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": reads}))
    loaded = load_model(folder, "float32")
    bundled = [task for task in TASK_SETS.values() if not task.brought]
    theirs = harness_measurements(loaded.model, loaded.tokenizer, [t.id for t in bundled], count, 16, reporter, sets)
    found = {m.metric: m.samples for m in theirs}
    apart = []
    for task in bundled:
        items = load_items(task, sets, count)
        for mine in choice_measurements(loaded.model, loaded.tokenizer, task, items, 16, reporter):
            if mine.metric in found and mine.samples != found[mine.metric]:
                apart.append((mine.metric, mine.samples, found[mine.metric]))
    assert apart == [] and len(found) >= len(bundled)
