"""A step learns from what an earlier step of the same recipe made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.base.settings import Settings
from core.recipe.recipe import Recipe
from tests.engine.conftest import Memory

TEXT = "\n".join(f"{'good' if i % 2 else 'bad'} and {'kind' if i % 2 else 'cruel'} words,{i % 2}" for i in range(60))


def lesson(step: str, data: Path, **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "data": {"data": f"path:{data}", "form": "labels", "length": 16},
        "batch": 4,
        "budget": {"steps": 3},
        "held_out": 8,
        **more,
    }


@pytest.mark.slow
def test_a_classifier_made_on_the_way_teaches_what_is_left_of_it(
    run: Callable[..., Memory], home: Settings, tiny_llama: Path
) -> None:
    data = home.roots[0] / "labels.csv"
    data.write_text("text,label\n" + TEXT)
    model = Path(shutil.copytree(tiny_llama, home.roots[0] / "model"))
    soft = [{"loss": "soft_labels"}]
    done = run(
        model,
        lesson("finetune", data, losses=[{"loss": "cross_entropy"}]),
        {"step": "prune", "method": "block_influence", "target": {"remove_layers": 1}},
        lesson("distil", data, losses=soft, teacher="step:1"),
    )
    labels = [done.results[t.key] for t in done.trials]
    assert [r.method for r in labels] == ["dense", "finetune", "block_influence", "distil"]
    assert labels[-1].facts["layers"] == 3 and labels[-1].facts["steps"] == 3


def test_a_teacher_that_comes_later_is_refused_before_any_work() -> None:
    with pytest.raises(ValidationError, match=r"of steps\[0\] is no step before it: 0 changed the model"):
        Recipe(name="x", model="sample:smollm2-135m", steps=[{"step": "distil", "teacher": "step:1"}])
