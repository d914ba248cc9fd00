"""The reference in the documents is that of the code, and the schema says what editors need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.base.settings import Settings
from core.commands.parser import main
from core.recipe.schema import reference, schema

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def test_the_reference_is_the_codes() -> None:
    made = reference()
    assert DOCUMENT.read_text("utf-8") == made.rstrip() + "\n", (
        "run: python -m core schema --reference > docs/recipes.md"
    )
    row = (
        "| `protect` | list of whole number from 0 below 10,000 | `[]` | Layers (counted from 0) that stay untouched. |"
    )
    assert row in made and "| `assert` | [Asserts](#asserts) | nothing |" in made
    assert "| `model` | text | must be given |" in made and "see there" not in made


def test_the_schema_tells_keys_apart_and_says_what_they_mean(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--home", str(home.home)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(schema()))
    assert printed["required"] == ["model"] and printed["additionalProperties"] is False
    steps = printed["properties"]["steps"]["items"]["discriminator"]["mapping"]
    assert set(steps) == {"prune", "distil", "finetune", "quantise", "trim", "select", "evaluate", "measure", "export"}
    said = printed["$defs"]["LabelledSet"]["properties"]["classes"]["description"]
    assert said == "Which class of the model a label of the file stands for, where the two are called differently."
