"""The real sample model on a real task: a figure known from an independent harness."""

from __future__ import annotations

import pytest

from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.samples import is_fetched
from core.engine.evaluate.choice import choice_measurements
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
