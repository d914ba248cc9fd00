"""How a language model labels a person's own texts, which then teach a classifier."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from core.base.errors import Impossible
from core.recipe.parts import Name, Strict

PLACE = "{text}"
"""Where a prompt holds the text."""


def not_a_labeller(task: str) -> Impossible | None:
    """Why a teacher that does this (`task`) gives no labels, or None."""
    if task == "causal":
        return None
    return Impossible(
        f"The teacher is a {task} model, and labels are given by one that continues a text.",
        "Choose a causal language model as teacher, or leave out 'labelling'.",
    )


class Labelling(Strict):
    """A causal language model as teacher: how likely it finds each class's words after the prompt is its label.

    `prompt` holds `{text}` once; `classes` says for each class which words the teacher would write for it.
    """

    prompt: Annotated[str, Field(min_length=1, max_length=20_000)]
    classes: dict[Name, Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=2, max_length=1_000)
    calibrated: bool = True
    """What the teacher would say to a text without content is divided out (contextual calibration)."""
    least: float = Field(0.0, ge=0.0, lt=1.0)
    """Texts of whose class the teacher is less sure than this are left out."""

    @field_validator("prompt")
    @classmethod
    def holds_the_text(cls, value: str) -> str:
        if value.count(PLACE) != 1:
            raise ValueError(f"holds {PLACE} once, where the text is to stand")
        return value

    @field_validator("classes")
    @classmethod
    def words_differ(cls, value: dict[str, str]) -> dict[str, str]:
        if len({words.strip() for words in value.values()} - {""}) < len(value):
            raise ValueError("each class needs words of its own")
        return value

    def filled(self, text: str) -> str:
        """The prompt with a text in its place."""
        return self.prompt.replace(PLACE, text)

    def continuations(self) -> tuple[str, ...]:
        """What follows the prompt for each class: its words, after a space unless the prompt ends in one."""
        space = "" if self.prompt[-1].isspace() else " "
        return tuple(space + words.strip() for words in self.classes.values())
