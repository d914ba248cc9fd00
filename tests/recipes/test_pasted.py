"""A model's address on the hub, pasted where a reference is typed."""

from __future__ import annotations

import pytest

from core.base.errors import RetortError
from core.catalogue.references import Reference
from core.recipe.recipe import Recipe
from core.recipe.references import model_parts, pasted

REV = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("address", "reference"),
    [
        ("https://huggingface.co/org/Name-1B", "hub:org/Name-1B"),
        ("https://huggingface.co/org/Name-1B/", "hub:org/Name-1B"),
        (f"https://huggingface.co/org/Name-1B/tree/{REV}", f"hub:org/Name-1B@{REV}"),
        ("http://www.huggingface.co/org/Name-1B/tree/main?not-for-all=1#files", "hub:org/Name-1B@main"),
        ("huggingface.co/org/Name-1B/blob/v1.0/config.json", "hub:org/Name-1B@v1.0"),
        ("  https://hf.co/org/Name-1B/tree/refs%2Fpr%2F3 ", "hub:org/Name-1B@refs/pr/3"),
    ],
)
def test_an_address_of_a_model_is_its_reference(address: str, reference: str) -> None:
    assert pasted(address) == reference and str(Reference.parse(address)) == reference
    recipe = Recipe.model_validate({"model": address, "steps": [{"step": "distil", "teacher": address}]})
    assert recipe.model == reference and recipe.trainings[0].teacher == reference


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/datasets/org/name",
        "https://huggingface.co/spaces/org/name",
        "https://huggingface.co/org",
        "https://huggingface.co.evil.invalid/org/name",
        "https://evil.invalid/huggingface.co/org/name",
        "https://huggingface.co/org/name/tree/../../etc",
        "https://huggingface.co/org/name and more",
    ],
)
def test_any_other_address_is_refused(address: str) -> None:
    assert model_parts(address) is None
    with pytest.raises(RetortError, match="is no model reference"):
        Reference.parse(address)


def test_what_is_no_address_stays_as_it_is() -> None:
    for text in ("sample:smollm2-135m", "hub:org/name@main", "path:/huggingface.co/org/name", "run:abc"):
        assert pasted(text) == text
