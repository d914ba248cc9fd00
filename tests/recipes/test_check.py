"""One check for recipes of a file, of a dictionary and of a page's form: the same sentences, the same bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from core.base.errors import RetortError
from core.recipe.check import RecipeError, check_recipe
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.recipe import Recipe
from pages.forms import distil, sweep

HEAD: dict[str, Any] = {"name": "x", "model": "sample:smollm2-135m"}
GRID: dict[str, Any] = {"method": ["magnitude"], "sparsity": [0.5]}


def problems(check: Callable[[], Recipe]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check()
    return caught.value.problems


def refusal(data: Any) -> str:
    with pytest.raises(RetortError) as caught:
        check_recipe(data)
    assert caught.value.remedy
    return caught.value.cause


MANY = {"seeds": list(range(101)), "sparsity": [n / 100 for n in range(100)]}


@pytest.mark.parametrize(
    ("changed", "path", "says"),
    [
        ({"calibraton": {"sequences": 4}}, "calibraton", "is not a known key; did you mean 'calibration'?"),
        ({"dtype": "float"}, "dtype", "must be 'auto', 'float32' or 'bfloat16'; you gave 'float'; did you mean"),
        ({"evaluation": {"tokens": 12.5}}, "evaluation.tokens", "must be a whole number; you gave 12.5."),
        ({"sweep": {"grid": [GRID | {"sparsity": [1.5]}]}}, "sweep.grid[0].sparsity[0]", "must be below 1; you gave"),
        ({"sweep": {"grid": [GRID | {"method": "wandaa"}]}}, "sweep.grid[0].method", "unknown method 'wandaa'; known"),
        ({"sweep": {"grid": [GRID | MANY]}}, "sweep.grid[0]", "the lists mean more than 10,000 candidates."),
        ({"name": ""}, "name", "must not be empty."),
    ],
)
def test_a_file_a_dictionary_and_a_form_get_the_same_sentence(
    changed: dict[str, Any], path: str, says: str, tmp_path: Path
) -> None:
    data = HEAD | {"sweep": {"grid": [GRID]}} | changed
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    (in_file,) = problems(lambda: load_recipe(file))
    (in_python,) = problems(lambda: check_recipe(data))
    assert in_python.startswith(f"{path}: {says}")
    assert in_file.startswith(f"{path} (line ")
    assert in_file.partition("): ")[2] == in_python.partition(": ")[2]
    with pytest.raises(RetortError) as caught:
        sweep.checked(data)
    assert caught.value.cause == f"These choices cannot be run: {in_python.rstrip('.')}."


def test_the_form_of_a_distillation_names_no_line_as_it_is_no_file() -> None:
    step = {"step": "distil", "student": "sample:smollm2-135m", "losses": [{"loss": "soft_labels", "weight": -1.0}]}
    (found,) = problems(lambda: distil.checked(HEAD | {"steps": [step]}))
    assert found == "steps[0].losses[0].weight: must be above 0; you gave -1.0."


def test_every_example_means_the_same_as_a_dictionary() -> None:
    for path in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml")):
        recipe = load_recipe(path)
        assert check_recipe(yaml.safe_load(dump_recipe(recipe))) == recipe
        assert check_recipe(recipe.model_dump(mode="python")) == recipe, "tuples are lists"


def test_a_number_of_numpy_is_a_number() -> None:
    recipe = check_recipe(HEAD | {"sweep": {"grid": [GRID | {"sparsity": list(np.array([0.25, 0.5]))}]}})
    assert recipe.sweep is not None and recipe.sweep.grid[0].sparsity == (0.25, 0.5)


def _nested(levels: int) -> object:
    return [_nested(levels - 1)] if levels else 1


ENDLESS: dict[str, Any] = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": Path("/x")}, "name: a value of the type 'PosixPath' is neither text"),
        ({"steps": [{"step": {1, 2}}]}, "steps[0].step: a value of the type 'set'"),
        ({"seed": 10**5_000}, "seed: is not a number that can be read"),
        ({"minutes": 1e300}, "minutes: is not a number that can be read"),
        ({"steps": [{3: 4}]}, "steps[0]: the key 3 is no text"),
        ({"k" * 201: 1}, "is too long, or no text"),
        ({"name": "a\ud800"}, "name: holds a lone surrogate"),
        ({"name": "x" * 300_000}, "larger than 256 kB"),
        ({"steps": [0] * 20_000}, "steps[9998]: more than 10,000 values"),
        ({"steps": _nested(40)}, "nested more than 32 levels deep"),
        (ENDLESS, "a.a.a: nested more than 32 levels deep"),
    ],
)
def test_a_dictionary_has_the_bounds_of_a_file(data: Any, says: str) -> None:
    assert says in refusal(data)
