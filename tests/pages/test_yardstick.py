"""One yardstick a model: forms take over the latest study's, what differs is said and can be measured again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.base.settings import Settings
from core.recipe.parts import Evaluation, Latency
from core.recipe.yardstick import differences, yardstick_of
from core.store import Store
from tests.pages.conftest import Opens, links, words
from tests.pages.study import finished_study, recipe

MINE = {
    "calibration": {"sequences": 7, "length": 48},
    "evaluation": {"tokens": 1_536, "window": 48},
    "latency": {"prompt": 24, "new_tokens": 6, "repeats": 4},
}


@pytest.fixture
def model(settings: Settings, tiny_llama: Path) -> str:
    shutil.copytree(tiny_llama, settings.home / "models" / "tiny")
    return f"path:{settings.home / 'models' / 'tiny'}"


def said(app: AppTest) -> str:
    return words(app).replace("\\", "")


def test_what_differs_is_named_by_field() -> None:
    base = recipe(evaluation={"tokens": 4096, "window": 256})
    update = {"evaluation": Evaluation(tokens=8192, window=256, batch=9), "latency": Latency(prompt=32)}
    mine, theirs = yardstick_of(base.model_copy(update=update)), yardstick_of(base)
    assert differences(mine, theirs) == [
        "evaluation: tokens 8,192 instead of 4,096",
        "latency: prompt tokens 32 instead of 128",
    ], "a batch changes no figure"
    assert differences(theirs, theirs) == []
    without = yardstick_of(base.model_copy(update={"latency": None}))
    assert differences(without, theirs) == ["latency: not measured now"]


def test_the_sweep_form_takes_over_the_latest_study_of_its_model(opens: Opens, settings: Settings, model: str) -> None:
    finished_study(settings, "Older", model=model, evaluation={"tokens": 999, "window": 32})
    finished_study(settings, "Newest", model=model, **MINE)
    finished_study(settings, "Of another model", evaluation={"tokens": 4096})
    app = opens("sweep", model=model)
    numbers = {n.key: n.value for n in app.number_input}
    assert {k: numbers[k] for k in ("sequences", "length", "tokens", "window", "prompt", "new", "repeats")} == {
        "sequences": 7,
        "length": 48,
        "tokens": 1536,
        "window": 48,
        "prompt": 24,
        "new": 6,
        "repeats": 4,
    }
    assert "Measured as 'Newest', so its points join that chart: 1,536 tokens of sample:wiki" in said(app)
    linked = opens("sweep", model=model, tokens="2048")
    assert {n.key: n.value for n in linked.number_input}["tokens"] == 2048, "what the address says goes first"


def test_a_changed_yardstick_says_what_it_leaves_behind_and_measures_it_again(
    opens: Opens, settings: Settings, store: Store, model: str
) -> None:
    grid = {"grid": [{"method": ["magnitude", "wanda"], "sparsity": [0.2, 0.3]}]}
    finished_study(settings, "Newest", model=model, sweep=grid, **MINE)
    app = opens("sweep", model=model)
    app.number_input(key="tokens").set_value(3_072).run()
    assert "(evaluation: tokens 3,072 instead of 1,536), so its 4 points stay on a chart of their own" in said(app)
    app.button(key="yardstick-again").click().run()
    again = store.runs.find(states=("queued",), kinds=("sweep",))[0].parsed()
    assert again.evaluation.tokens == 3_072 and again.latency is not None and again.latency.repeats == 4
    assert again.sweep == recipe(model=model, sweep=grid).sweep and again.name == "Newest"


def test_a_distillation_is_measured_as_the_studies_of_its_teacher(opens: Opens, settings: Settings, model: str) -> None:
    finished_study(settings, "Newest", model=model, **MINE)
    app = opens("distil", teacher=model, student="Designed here")
    text = next(c.value for c in app.code if "steps:" in c.value)
    assert "tokens: 1536" in text and "prompt: 24" in text and "sequences: 7" in text


def test_studies_measured_alike_stand_on_one_chart(opens: Opens, settings: Settings, model: str) -> None:
    first = finished_study(settings, "First", model=model, **MINE)
    finished_study(settings, "Measured otherwise", model=model, evaluation={"tokens": 999, "window": 32})
    last = finished_study(settings, "Last", model=model, **MINE)
    app = opens("tradeoffs", model=model)
    assert app.query_params["run"] == [last, first]
    assert f"run={last}&run={first}" in links(opens("runs", run=last))["Open the trade-offs"]
