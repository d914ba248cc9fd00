"""What runs are called where nobody named them."""

from __future__ import annotations

from typing import Any

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs.actions import named
from core.recipe.again import kept_again
from core.recipe.prune import Prune
from core.recipe.recipe import Recipe
from core.recipe.trial_keys import Identity, trials_of
from core.store import Store
from tests.pages.study import finished_study

SAMPLE = "sample:smollm2-135m"
WANDA = {"step": "prune", "method": "wanda", "sparsity": 0.5}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"sweep": {"grid": [{"method": "wanda", "sparsity": [0.5]}]}}, "Wanda 50 % of SmolLM2-135M-Instruct"),
    (
        {"sweep": {"grid": [{"method": "wanda", "sparsity": [0.2, 0.3, 0.5]}]}},
        "Wanda 20, 30 and 50 % of SmolLM2-135M-Instruct",
    ),
    (
        {"sweep": {"grid": [{"method": "wanda", "sparsity": [0.1, 0.2, 0.3, 0.4, 0.5]}]}},
        "Wanda 10 to 50 % of SmolLM2-135M-Instruct",
    ),
    (
        {"model": "path:/a/b/tiny", "sweep": {"grid": [{"method": ["magnitude", "wanda"], "sparsity": [0.2]}]}},
        "Sweep of tiny by Magnitude and Wanda",
    ),
    (
        {"model": "hub:org/Nice-1B@main", "sweep": {"budget": {"megabytes": 180}}},
        "Nice-1B within 180.0 MB with tokenizer",
    ),
    ({"steps": [{"step": "distil"}, {"step": "evaluate"}]}, "SmolLM2-135M-Instruct teaches itself"),
    ({"steps": [{"step": "distil", "student": "path:/b/small"}]}, "SmolLM2-135M-Instruct teaches small"),
    ({"steps": [{"step": "distil", "teacher": "hub:a/Big"}]}, "Big teaches SmolLM2-135M-Instruct"),
    (
        {"steps": [{"step": "finetune", "losses": [{"loss": "cross_entropy"}]}]},
        "Fine-tuning of SmolLM2-135M-Instruct",
    ),
    (
        {"steps": [WANDA, {"step": "distil"}, {"step": "quantise"}]},
        "Wanda 50 % of SmolLM2-135M-Instruct, then distilled, then int8 weights",
    ),
    ({"steps": [{"step": "evaluate"}]}, "Measurement of SmolLM2-135M-Instruct"),
]


@pytest.mark.parametrize(("what", "name"), CASES)
def test_a_recipe_that_nobody_named_is_called_by_what_it_does(what: dict[str, Any], name: str) -> None:
    assert Recipe.model_validate({"model": SAMPLE, **what}).name == name
    assert Recipe.model_validate({"name": "Mine", "model": SAMPLE, **what}).name == "Mine"


def test_a_run_is_called_by_the_names_its_models_have_here(home: Settings) -> None:
    run = finished_study(home)
    store = Store(home)
    key = next(t.key for t in store.trials.of(run) if t.label == "Wanda 50 %")
    assert store.candidates.names([f"run:{key}", f"run:{run}", "run:gone", SAMPLE]) == {
        f"run:{key}": ("Wanda 50 %", SAMPLE),
        f"run:{run}": ("Sample study", ""),
    }
    lesson = Recipe.model_validate({"model": SAMPLE, "steps": [{"step": "distil", "student": f"run:{key}"}]})
    assert lesson.name == f"SmolLM2-135M-Instruct teaches candidate {key[:8]}"
    taught = "SmolLM2-135M-Instruct teaches Wanda 50 % of SmolLM2-135M-Instruct"
    assert named(lesson, store).name == taught
    assert named(lesson.model_copy(update={"name": "Mine"}), store).name == "Mine"
    assert store.runs.get(run).actor == LOCAL


@pytest.mark.parametrize(
    "prune",
    [
        {"method": "wanda", "sparsity": 0.5, "seed": 3, "mode": "sequential", "allocation": "owl"},
        {"method": "magnitude", "pattern": "2:4"},
        {"method": "block_influence", "target": {"remove_layers": 2}, "protect": (0, 1)},
        {"method": "width_norm", "target": {"block_fraction": 0.1}, "parts": ("heads",), "multiple": 16},
    ],
)
def test_a_trial_done_again_alone_is_the_same_trial_and_stays(prune: dict[str, Any]) -> None:
    wanted = Prune.model_validate(prune)
    many = Recipe.model_validate(
        {"name": "Many", "model": SAMPLE, "seed": 7, "sweep": {"grid": [{"method": "magnitude", "sparsity": [0.1]}]}}
    )
    again = kept_again(many, wanted)
    assert again.sweep is not None and again.sweep.keep == "all" and again.sweep.trials() == [wanted]
    both = Recipe.model_validate(again.model_dump(mode="json"))
    assert [t.prune for t in trials_of(both, Identity("f"))] == [None, wanted]
    assert again.seed == 7 and again.name == f"{wanted.label()} of SmolLM2-135M-Instruct, kept"
