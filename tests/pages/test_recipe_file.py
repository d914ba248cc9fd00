"""A recipe file opened on a page: its problems by line, what it takes, and its start."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from core.analysis.estimate import ModelSize, probe_path, recipe_seconds
from core.base.settings import Settings
from core.recipe.files import load_recipe
from core.store import Store
from pages.frame import file_input
from tests.analysis.test_estimate import timed as timed  # a machine of a million operations a second
from tests.pages.conftest import Opens, words
from tests.pages.test_forms import PROBE

WRONG = """name: Two mistakes
model: sample:smollm2-135m
sweep:
  grid:
    - {method: wandaa, sparsity: [0.5]}
  keeep: all
"""


@pytest.mark.parametrize("page", ["sweep", "distil"])
def test_every_problem_is_named_with_its_line(opens: Opens, page: str) -> None:
    app = opens(page)
    app.session_state["_recipe-name"], app.session_state["_recipe-text"] = "mine.yaml", WRONG
    app.run()
    said = words(app).replace("\\", "")
    assert "The recipe has 2 problems." in said and "line 5" in said and "line 6" in said and "mine.yaml" in said
    assert not [b for b in app.button if b.label == "Start it"]
    next(b for b in app.button if b.label == "Close it").click().run()
    assert "mine.yaml" not in words(app).replace("\\", "")


def test_a_whole_one_is_started_as_it_stands(opens: Opens, settings: Settings, store: Store, tiny_llama: Path) -> None:
    folder = settings.home / "models" / "tiny"
    shutil.copytree(tiny_llama, folder)
    probe_path(settings).write_text(PROBE.model_dump_json())
    text = f"model: path:{folder}\nsweep:\n  grid:\n    - {{method: magnitude, sparsity: [0.3, 0.5]}}\n"
    text += "calibration: {length: 64}\nevaluation: {tokens: 128, window: 64}\n"
    app = opens("distil")
    app.session_state["_recipe-name"], app.session_state["_recipe-text"] = "mine.yaml", text
    app.run()
    assert "2 candidates beside the dense model." in words(app) and app.metric[0].value.startswith("about ")
    assert "Quality is measured on 2 windows of 64 tokens" in app.warning[0].value
    next(b for b in app.button if b.label == "Start it").click().run()
    run = store.runs.find(kinds=("sweep",))[0]
    assert run.parsed() == load_recipe(text) and run.name == "Magnitude 30 and 50 % of tiny"
    assert app.query_params["run"] == run.id and app.title[0].value.replace("\\", "") == run.name


def test_a_file_that_is_too_large_or_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, int]] = []
    state: dict[str, object] = {}
    monkeypatch.setattr(file_input.st, "session_state", state)

    def sent(**told: object) -> None:
        state["f"] = {"file": told}
        file_input._taken("f", 4, lambda name, raw: taken.append((name, len(raw))))

    sent(name="a", size=3, bytes=base64.b64encode(b"abc").decode())
    sent(name="b", size=9, bytes="")
    assert taken == [("a", 3), ("b", 5)], "of a larger one arrives one byte too many"
    sent(name="c", size="x", bytes="")
    assert state["_f-refused"] == ("The file did not arrive whole.", "Choose it again.")


def test_the_time_of_a_recipe_counts_its_trainings_and_every_model_it_measures(timed: Settings) -> None:
    size = ModelSize(parameters=1000, active_parameters=1000, block_parameters=800, layers=10, disk_bytes=2000)
    steps = "[{step: prune, method: magnitude, sparsity: 0.5}, {step: distil, budget: {minutes: 2}}, {step: evaluate}]"
    text = f"model: sample:x\nlatency: null\nevaluation: {{tokens: 1000, window: 16}}\nsteps: {steps}\n"
    # Three models read 1000 tokens at 2000 operations each, at a million a second, and are reloaded in 2 s.
    assert recipe_seconds(load_recipe(text), size, timed) == pytest.approx(12 + 3 * (2 + 2) + 120)
