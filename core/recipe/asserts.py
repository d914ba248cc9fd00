"""What must hold at the end of a run: checked against its figures, with an exit status of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.recipe.parts import Name, Strict

Floor = Annotated[float, Field(ge=0.0, lt=1.0)]


class Asserts(Strict):
    """Bounds that the result has to keep; a figure that was not measured keeps none."""

    of: Literal["last", "some", "every"] | None = None
    """Which candidates: the last one, at least one, or every one. Left out: the last of steps, some of a sweep."""
    loss_percent: float | None = Field(None, ge=-100.0, le=1e6)
    """At most so much more loss a token than the original's."""
    accuracy_points: float | None = Field(None, ge=-100.0, le=100.0)
    """At most so many points of accuracy less than the original, on the labelled set and on every task."""
    f1_points: float | None = Field(None, ge=-100.0, le=100.0)
    agreement_percent: float | None = Field(None, ge=0.0, le=100.0)
    """At least so many of the most likely tokens are the original's."""
    recall: Floor | None = None
    """Of every class, at least such a share of its texts is recognised."""
    class_recall: dict[Name, Floor] = Field({}, max_length=1_000)
    """The same for single classes; they go before `recall`."""
    megabytes: float | None = Field(None, gt=0.0, le=1e12)
    """Weights on disk, at most."""
    prefill_ms: float | None = Field(None, gt=0.0, le=1e9)
    decode_ms: float | None = Field(None, gt=0.0, le=1e9)

    @model_validator(mode="after")
    def something(self) -> Asserts:
        if not any(value not in (None, {}) for name, value in self if name != "of"):
            known = ", ".join(name for name in type(self).model_fields if name != "of")
            raise ValueError(f"asserts nothing: give one of {known}")
        return self
