"""What a recipe asks beyond its model's shape is said before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.analysis.fits_model import refuse_misfit
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.anatomy import Anatomy, anatomy
from core.jobs import actions
from core.recipe.recipe import Recipe
from core.store import Store

FITTING = {"evaluation": {"window": 64}, "calibration": {"length": 64}, "model": "path:/m", "name": "x"}


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Anatomy:
    return anatomy(tiny_llama)


def prune(method: str = "block_influence", **options: Any) -> dict[str, Any]:
    return {"step": "prune", "method": method, **options}


def remove(layers: int, **options: Any) -> dict[str, Any]:
    return prune(target={"remove_layers": layers}, **options)


def sized(**sizes: int) -> dict[str, Any]:
    return prune("width_norm", target={"sizes": sizes})


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([remove(4)], "'remove_layers' is 4, and of the model's 4 layers one must stay"),
        ([remove(2), remove(2)], "'remove_layers' is 2, and of the model's 2 layers one must stay"),
        ([prune("magnitude", sparsity=0.5, protect=[0, 4])], "layer 4, and the model has the layers 0 to 3"),
        ([remove(1), prune("magnitude", sparsity=0.5, protect=[3])], "the layers 0 to 2"),
        ([sized(layers=5)], "asks for 5 layers ('layers'), and the model has 4"),
        ([sized(intermediate=65)], "asks for 65 MLP neurons ('intermediate'), and the model has 64"),
        ([sized(heads=5)], "5 query heads"),
        ([sized(kv_heads=3)], "3 key-value heads ('kv_heads'), and the model has 2"),
        ([remove(1), sized(hidden=33)], "33 hidden channels"),
        ([{"step": "distil", "budget": {"steps": 1}, "design": {"layers": 5}}], "5 layers, and the teacher has 4"),
        ([{"step": "select", "options": [remove(1), remove(5)], "recovery": {"budget": {"steps": 1}}}], "is 5, and"),
    ],
)
def test_what_the_model_does_not_have_is_refused(llama: Anatomy, steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(RetortError, match="does not fit its model") as refused:
        refuse_misfit(Recipe.model_validate(FITTING | {"steps": steps}), llama)
    assert words in refused.value.cause


def test_texts_longer_than_the_model_reads_are_refused(llama: Anatomy) -> None:
    def recipe(method: str, **parts: Any) -> Recipe:
        return Recipe.model_validate(FITTING | {"sweep": {"grid": [{"method": method, "sparsity": [0.5]}]}} | parts)

    refuse_misfit(recipe("wanda", evaluation={"window": 256}, calibration={"length": 256}), llama)
    refuse_misfit(recipe("magnitude", calibration={"length": 257}), llama)  # not calibrated: nothing is read
    for field, parts in (
        ("evaluation.window", {"evaluation": {"window": 257}}),
        ("calibration.length", {"calibration": {"length": 257}}),
    ):
        with pytest.raises(RetortError, match=f"'{field}' is 257 tokens, and the model reads at most 256"):
            refuse_misfit(recipe("wanda", **parts), llama)


@pytest.mark.parametrize(
    "steps",
    [
        [remove(3)],
        [prune("magnitude", sparsity=0.5, protect=[3])],
        [sized(intermediate=64, heads=4, layers=4)],
        [prune("width_norm", target={"block_fraction": 0.3}), sized(layers=9)],  # what is left is known later
        [{"step": "distil", "student": "run:other", "budget": {"steps": 1}}, remove(7)],  # another model
    ],
)
def test_what_fits_or_cannot_be_known_is_let_through(llama: Anatomy, steps: list[dict[str, Any]]) -> None:
    refuse_misfit(Recipe.model_validate(FITTING | {"steps": steps}), llama)


def test_it_is_asked_before_the_queue(home: Settings, tiny_llama: Path) -> None:
    (home.home / "models" / "m").symlink_to(tiny_llama)
    settings = Settings(home=home.home, roots=(home.home / "models", tiny_llama.resolve()))
    recipe = Recipe.model_validate(FITTING | {"model": f"path:{home.home / 'models' / 'm'}", "steps": [remove(4)]})
    with pytest.raises(RetortError, match="does not fit its model"):
        actions.submit(recipe, settings, LOCAL)
    assert Store(settings).runs.find() == []
