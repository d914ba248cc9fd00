"""Labels in the words a reader is promised."""

from __future__ import annotations

from typing import Any

import pytest

from core.recipe.distil import Distil, TrainingBudget
from core.recipe.labels import done, joined, shape
from core.recipe.recipe import Prune, Quantise
from core.recipe.results import Trial

PLAIN = [{"loss": "cross_entropy"}]
LABELS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "Distilled by logit matching (KL at temperature 1), 200 steps", "distil"),
    ({"losses": PLAIN}, "Fine-tuned, 200 steps", "finetune"),
    (
        {"step": "finetune", "losses": PLAIN, "teacher_texts": {"sequences": 9}},
        "Trained on the teacher's texts, 200 steps",
        "distil",
    ),
    (
        {"losses": [{"loss": "jensen_shannon"}], "teacher_texts": {"sequences": 9}},
        "Distilled by Jensen-Shannon on the teacher's texts, 200 steps",
        "distil",
    ),
    (
        {"losses": [{"loss": "reverse_kl"}], "cache": {"k": 32}, "budget": {"tokens": 5000}},
        "Distilled by reverse KL, 5,000 tokens (stored teacher's top 32)",
        "distil",
    ),
    ({"losses": PLAIN, "lora": {"rank": 8}, "budget": {"steps": 1}}, "Fine-tuned, 1 step (LoRA rank 8)", "finetune"),
    (
        {"losses": PLAIN, "design": {"layers": 1, "sizes": {"kv_heads": 2}, "initialise": "random"}},
        "Fine-tuned, 200 steps (student of 1 layer and key-value heads 2 and random weights)",
        "finetune",
    ),
    (
        {"losses": PLAIN, "student": "path:/somewhere/private/small", "teacher": "sample:x"},
        "Fine-tuned, 200 steps (student small)",
        "finetune",
    ),
    (
        {"losses": [{"loss": "soft_labels"}], "student": "run:abc", "teacher": "step:2", "on_policy": {"share": 0.25}},
        "Distilled by soft labels, 200 steps (student run:abc, teacher step 2, on-policy 25 %)",
        "distil",
    ),
]


@pytest.mark.parametrize(("given", "label", "method"), LABELS)
def test_a_lesson_is_named_by_who_taught_what_and_how(given: dict[str, Any], label: str, method: str) -> None:
    step = Distil.model_validate(given)
    assert step.label() == label
    assert Trial(index=1, key="k", label=label, distil=step).method == method


@pytest.mark.parametrize(
    ("budget", "label"),
    [
        ({"steps": 200}, "6 of 200 steps"),
        ({"tokens": 500_000}, "1,536 of 500,000 tokens"),
        ({"minutes": 15}, "1.5 of 15 minutes"),
    ],
)
def test_a_budget_that_was_not_used_up_is_told_with_what_was(budget: dict[str, Any], label: str) -> None:
    facts = {"stopped": "Stopped on request.", "steps": 6, "tokens": 1536, "training_seconds": 90.0}
    step = Distil.model_validate({"losses": PLAIN, "budget": budget, "lora": {"rank": 2}})
    assert done(step, facts) == f"Fine-tuned, {label} (LoRA rank 2)"
    del facts["stopped"]
    assert done(step, facts) == f"Fine-tuned, {TrainingBudget.model_validate(budget).label()} (LoRA rank 2)"


def test_steps_are_joined_and_other_steps_keep_their_label() -> None:
    prune, packed = Prune(method="wanda", sparsity=0.5), Quantise()
    assert joined("", done(prune, {})) == "Wanda 50 %"
    assert joined("Wanda 50 %", done(packed, {})) == "Wanda 50 % + int8 weights"


def test_a_shape_tells_only_what_differs_from_the_dense_model() -> None:
    dense = {"layers": 4, "hidden": 32, "intermediate": 64, "heads": 4, "kv_heads": 2}
    assert shape({**dense, "layers": 3, "intermediate": 40, "head_dim": 8}, dense) == (
        "3 of 4 layers, 40 of 64 MLP neurons"
    )
    assert shape({**dense, "heads": 2, "kv_heads": 1, "hidden": 16}, dense) == (
        "16 of 32 hidden channels, 2 of 4 heads, 1 of 2 key-value heads"
    )
    assert shape({"experts": 6, "layers": 4}, {"experts": 8, "layers": 4}) == "6 of 8 experts"
    assert shape(dense, dense) == "" and shape({"layers": 3}, {}) == ""
