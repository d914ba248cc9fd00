"""What every part of a recipe is: values frozen and typed strictly, and names of which every character can be seen."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.base.text import is_line


def shown(value: str) -> str:
    """Raises ValueError for text with characters that nobody sees: they could hide or turn what stands beside them."""
    if not is_line(value):
        raise ValueError("holds control characters or other characters that cannot be seen")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(shown)]
"""What a column, a part, a task or a module is called."""


StepName = Annotated[str, Field(max_length=120), AfterValidator(shown)]
"""What the model that a step makes is called, alone; left out: what was done to it."""


class Strict(BaseModel):
    """Unknown keys are refused, and values of another type: text or true for a number, a number for text, NaN.

    Values are frozen, so that a recipe can be hashed; lists, as files have them, become tuples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def lists_are_tuples(cls, data: object) -> object:
        return {k: _tuples(v) for k, v in data.items()} if isinstance(data, dict) else data


def _tuples(value: object) -> object:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
