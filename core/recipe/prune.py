"""The prune step of a recipe: which method, how much, where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.recipe.heal import heals
from core.recipe.parts import (
    Allocation,
    Fraction,
    Heal,
    Layer,
    Mode,
    Part,
    Pattern,
    Seed,
    StepName,
    Strict,
    Target,
    n_of_m,
)
from core.registry.methods import METHODS


class Prune(Strict):
    """One pruning step. Weight methods take `sparsity`, structured ones a `target`."""

    step: Literal["prune"] = "prune"
    name: StepName = ""
    method: str
    sparsity: Fraction | None = None
    pattern: Pattern = "unstructured"
    mode: Mode = "joint"
    target: Target | None = None
    allocation: Allocation = "uniform"
    """How a weight method's sparsity is spread over the layers; the mean is the same."""
    protect: tuple[Layer, ...] = Field((), max_length=10_000)
    """Layers (counted from 0) that stay untouched."""
    parts: tuple[Part, ...] = Field((), max_length=6)
    """What a width method may shrink, all by the same share; empty: the MLP neurons."""
    multiple: int = Field(8, ge=1, le=4_096)
    """Sizes of neurons and hidden channels are rounded to multiples of this."""
    heal: Heal = "none"
    """A recipe that is written anew and does not say heals what can be (`core.recipe.heal`); stored ones say."""
    seed: Seed = 0

    @field_validator("method")
    @classmethod
    def known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"unknown method '{value}'; known: {', '.join(METHODS)}")
        return value

    @field_validator("pattern")
    @classmethod
    def known_pattern(cls, value: str) -> str:
        if value != "unstructured":
            n_of_m(value)
        return value

    @model_validator(mode="after")
    def amount_fits_method(self) -> Prune:
        if METHODS[self.method].structured:
            if self.target is None or self.sparsity is not None:
                raise ValueError(f"'{self.method}' removes parts: give 'target', not 'sparsity'")
            if self.pattern != "unstructured":
                raise ValueError(f"'{self.method}' removes parts: a pattern such as '{self.pattern}' does not apply")
        elif self.target is not None:
            raise ValueError(f"'{self.method}' zeroes weights: give 'sparsity', not 'target'")
        elif self.pattern != "unstructured":
            n, m = n_of_m(self.pattern)
            if self.sparsity is not None and abs(self.sparsity - (1 - n / m)) > 1e-9:
                raise ValueError(f"pattern {self.pattern} means sparsity {1 - n / m:g}; leave 'sparsity' out")
        elif self.sparsity is None:
            raise ValueError("needs 'sparsity', from 0 up to but not including 1")
        return self

    @model_validator(mode="after")
    def allocation_fits(self) -> Prune:
        if self.allocation != "uniform" and (METHODS[self.method].structured or self.pattern != "unstructured"):
            raise ValueError(f"allocation '{self.allocation}' needs a weight method without an N:M pattern")
        return self

    @model_validator(mode="after")
    def parts_fit_method(self) -> Prune:
        if self.parts and METHODS[self.method].family != "width":
            raise ValueError(f"'{self.method}' has no choice of parts: 'parts' is for width methods")
        if "experts" in self.parts:
            raise ValueError("experts are removed by an expert method, such as 'reap'")
        return self

    @model_validator(mode="after")
    def search_has_a_budget(self) -> Prune:
        if METHODS[self.method].kind != "shapes":
            return self
        if self.target is not None and (self.target.sizes is not None or self.target.remove_layers is not None):
            raise ValueError(
                f"'{self.method}' finds sizes itself: give 'block_fraction', 'total_fraction' or 'megabytes'"
            )
        if set(self.parts) - {"layers", "neurons", "kv_groups"}:
            raise ValueError(f"'{self.method}' searches over layers, neurons and kv_groups only")
        return self

    @model_validator(mode="after")
    def heal_fits_method(self) -> Prune:
        if self.heal != "none" and not heals(self.method):
            raise ValueError(
                f"'{self.method}' cannot be healed: 'heal' is for methods that remove layers or narrow them"
            )
        return self

    @property
    def nominal(self) -> float:
        """The sparsity asked of a weight method (0 for structured ones)."""
        if self.pattern != "unstructured":
            n, m = n_of_m(self.pattern)
            return 1 - n / m
        return self.sparsity or 0.0

    @property
    def calibrated(self) -> bool:
        """True where it looks at calibration text: for its scores, to spread its sparsity, or to heal."""
        return METHODS[self.method].calibrated or self.allocation == "owl" or self.heal != "none"

    def label(self) -> str:
        """The step's own name, or what it does."""
        if self.name:
            return self.name
        name = METHODS[self.method].label
        if self.target is not None:
            parts = f" ({', '.join(self.parts)})" if self.parts else ""
            healed = "" if self.heal == "none" else ", healed"
            return f"{name}, {self.target.label()}{parts}{healed}".replace("kv_groups", "key-value groups")
        amount = self.pattern if self.pattern != "unstructured" else f"{self.nominal * 100:g} %"
        how = [] if self.allocation == "uniform" else [{"owl": "OWL", "sensitivity": "by sensitivity"}[self.allocation]]
        how += ["sequential"] if self.mode == "sequential" else []
        return f"{name} {amount}" + (f" ({', '.join(how)})" if how else "")
