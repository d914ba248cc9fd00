"""The budget of a sweep: what a model may take at most, instead of what to remove.

    sweep:
      budget: {megabytes: 180, decode_ms: 40}

Depth and MLP width are chosen on this machine when the sweep runs; the best few are then measured as its trials.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from core.recipe.parts import Strict


class Budget(Strict):
    """At least one limit. Times are those of the recipe's `latency`: its prompt, one sequence at a time."""

    megabytes: float | None = Field(None, gt=0.0, le=1e12)
    """On disk, tokenizer included."""
    decode_ms: float | None = Field(None, gt=0.0, le=1e9)
    """Milliseconds a new token."""
    prefill_ms: float | None = Field(None, gt=0.0, le=1e9)
    """Milliseconds to read the prompt."""
    keep: int = Field(3, ge=1, le=20)
    """How many of the best shapes are built and measured."""
    multiple: int = Field(8, ge=1, le=4_096)
    """MLP widths are multiples of this."""

    @model_validator(mode="after")
    def limited(self) -> Budget:
        if not self.limits():
            raise ValueError("needs at least one of megabytes, decode_ms, prefill_ms")
        return self

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        all_of = {"megabytes": self.megabytes, "decode_ms": self.decode_ms, "prefill_ms": self.prefill_ms}
        return {name: value for name, value in all_of.items() if value is not None}


UNITS = {"megabytes": "MB with tokenizer", "decode_ms": "ms a token", "prefill_ms": "ms for the prompt"}


def said(values: dict[str, float]) -> str:
    """'171.2 MB with tokenizer and 38.1 ms a token'."""
    return " and ".join(
        f"{value:.3g} {UNITS[name]}" if value < 100 else f"{value:.1f} {UNITS[name]}" for name, value in values.items()
    )
