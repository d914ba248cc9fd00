"""What candidates of real, tiny runs are called: by what was done, also where only the run itself could know it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.analysis.promised_vs_measured import verdict
from core.engine.run.stages import stages_of
from core.recipe.hooks import STOP_AND_KEEP
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.recipe.trial_keys import Identity
from core.registry.measurement import find_metric
from tests.engine.conftest import Memory

TEXT = {"data": "path:{text}", "split": None, "length": 32}
PRUNED = "Layer removal (block influence), 1 layer removed"


class Stopped(Memory):
    """Hooks of a user who stops the training after its sixth step."""

    def series(self, name: str, step: int, value: float) -> None:
        super().series(name, step, value)
        if name == "loss/total" and step == 6:
            (self.run_folder / STOP_AND_KEEP).touch()


def lesson(model: Path, **changes: Any) -> dict[str, Any]:
    """A short step of training on the fixture's text."""
    data = {**TEXT, "data": f"path:{model.parent / 'text.txt'}"}
    usual = {"step": "distil", "data": data, "batch": 2, "held_out": 2, "budget": {"steps": 2}, "evaluate_every": 50}
    return {**usual, **changes}


def labels(hooks: Memory) -> list[str]:
    return [hooks.results[t.key].label for t in hooks.trials]


def sparsity(result: Result) -> float:
    found = find_metric(result.measurements, "sparsity_pruned")
    assert found is not None
    return found.value


def test_a_training_that_was_stopped_says_how_far_it_came(run: Callable[..., Memory], model: Path, home: Any) -> None:
    step = lesson(model, budget={"steps": 200})
    done = run(
        model, {"step": "prune", "method": "block_influence", "target": {"remove_layers": 1}}, step, hooks=Stopped(home)
    )
    assert [t.label for t in done.trials][2].endswith(", 200 steps"), "the plan"
    assert labels(done)[1:] == [
        PRUNED,
        f"{PRUNED} + Distilled by logit matching (KL at temperature 1), 6 of 200 steps",
    ]
    last = done.results[done.trials[2].key]
    assert last.facts["stopped"] == "Stopped on request." and last.facts["steps"] == 6


def test_the_teachers_texts_adapters_and_a_designed_student_are_named(run: Callable[..., Memory], model: Path) -> None:
    texts = {"losses": [{"loss": "cross_entropy"}], "teacher_texts": {"sequences": 8, "prompt": 4}}
    done = run(
        model,
        lesson(model, design={"layers": 2}, **texts),
        lesson(model, losses=[{"loss": "cross_entropy"}], step="finetune", lora={"rank": 3}),
        lesson(model, cache={"k": 5}),
    )
    first = "Trained on the teacher's texts, 2 steps (student of 2 layers)"
    second = f"{first} + Fine-tuned, 2 steps (LoRA rank 3)"
    third = f"{second} + Distilled by logit matching (KL at temperature 1), 2 steps (stored teacher's top 5)"
    assert labels(done) == ["Dense baseline", first, second, third]
    assert [t.method for t in done.trials] == ["dense", "distil", "finetune", "distil"]
    assert done.results[done.trials[1].key].notes[-1].startswith("Trained on what the teacher wrote for 2 steps")


def test_the_winner_of_a_select_is_named_with_its_shape(run: Callable[..., Memory], model: Path) -> None:
    options = [
        {"method": "width_norm", "target": {"sizes": {"intermediate": 40}}},
        {"method": "block_influence", "target": {"remove_layers": 1}},
    ]
    recovery = {k: v for k, v in lesson(model).items() if k != "step"}
    done = run(
        model,
        {"step": "select", "options": options, "best": 2, "recovery": recovery},
        {"step": "quantise"},
        {"step": "measure"},
    )
    named = labels(done)
    trained = "Distilled by logit matching (KL at temperature 1), 2 steps"
    assert sorted(named[3:5]) == sorted(
        [
            f"{PRUNED} (3 of 4 layers) + {trained}",
            f"Width (weight norm), intermediate 40 (40 of 64 MLP neurons) + {trained}",
        ]
    )
    winner = min((done.results[t.key] for t in done.trials[3:5]), key=lambda r: _loss(r))
    assert named[5] == f"{winner.label} + int8 weights"
    assert any(f"After recovery '{winner.label}' is best" in m for m, _ in done.events)


def test_int8_weights_are_not_called_sparse(run: Callable[..., Memory], model: Path) -> None:
    done = run(
        model,
        {"step": "quantise", "of": "baseline"},
        {"step": "measure"},
        {"step": "prune", "method": "magnitude", "sparsity": 0.5},
        {"step": "quantise"},
        {"step": "measure"},
    )
    dense, packed, _, both = (done.results[t.key] for t in done.trials)
    assert sparsity(packed) == 0.0 and sparsity(both) == 50.0
    settings = [m.settings for m in packed.measurements if m.metric == "sparsity_pruned"][0]
    assert settings["zeros_of_rounding_left_out"] > 0
    parameters, nonzero = (find_metric(packed.measurements, m) for m in ("parameters", "nonzero_parameters"))
    assert parameters is not None and nonzero is not None
    assert parameters.value - nonzero.value == 32, "the padding token's row of the embeddings, as in the dense model"
    assert verdict(packed, dense).startswith("With int8 weights the file is ") and "sparse" not in verdict(
        packed, dense
    )
    assert verdict(both, dense).startswith("50 % sparse, yet with int8 weights the file is ")


def _loss(result: Result) -> float:
    found = find_metric(result.measurements, "loss")
    assert found is not None
    return found.value


def test_a_step_with_a_name_makes_a_model_of_that_name() -> None:
    steps: list[dict[str, object]] = [
        {"step": "prune", "method": "magnitude", "sparsity": 0.5},
        {"step": "finetune", "name": "Small student", "losses": [{"loss": "cross_entropy"}], "budget": {"steps": 1}},
        {"step": "quantise"},
    ]
    recipe = Recipe.model_validate({"model": "sample:minilm", "steps": steps})
    assert [s.trial.label for s in stages_of(recipe, Identity("m"))] == [
        "Dense baseline",
        "Magnitude 50 %",
        "Small student",
        "Small student + int8 weights",
    ]
