"""Recipes: what a run does, as plain YAML. Validated here, before any work; light: no torch.

A recipe has either `steps` (one model through an ordered list) or a `sweep` (one model, one
calibration, a grid of trials). `load_recipe` refuses anything else with the path in the file.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from core.budget_spec import Budget as Budget
from core.distil_spec import Distil as Distil
from core.exports import EXPORTS
from core.methods import METHODS
from core.recipe_parts import Allocation as Allocation
from core.recipe_parts import Calibration as Calibration
from core.recipe_parts import Corpus as Corpus
from core.recipe_parts import Evaluation as Evaluation
from core.recipe_parts import Fraction as Fraction
from core.recipe_parts import Latency as Latency
from core.recipe_parts import Mode as Mode
from core.recipe_parts import Part as Part
from core.recipe_parts import Pattern as Pattern
from core.recipe_parts import Sizes as Sizes
from core.recipe_parts import Strict as Strict
from core.recipe_parts import Target as Target
from core.recipe_parts import n_of_m as n_of_m


class Prune(Strict):
    """One pruning step. Weight methods take `sparsity`, structured ones a `target`."""

    step: Literal["prune"] = "prune"
    method: str
    sparsity: Fraction | None = None
    pattern: Pattern = "unstructured"
    mode: Mode = "joint"
    target: Target | None = None
    allocation: Allocation = "uniform"
    """How a weight method's sparsity is spread over the layers; the mean is the same."""
    protect: tuple[int, ...] = ()
    """Layers (counted from 0) that stay untouched."""
    parts: tuple[Part, ...] = ()
    """What a width method may shrink, all by the same share; empty: the MLP neurons."""
    multiple: int = Field(8, ge=1, le=4_096)
    """Sizes of neurons and hidden channels are rounded to multiples of this."""
    seed: int = Field(0, ge=0)

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

    @property
    def nominal(self) -> float:
        """The sparsity asked of a weight method (0 for structured ones)."""
        if self.pattern != "unstructured":
            n, m = n_of_m(self.pattern)
            return 1 - n / m
        return self.sparsity or 0.0

    def label(self) -> str:
        name = METHODS[self.method].label
        if self.target is not None:
            parts = f" ({', '.join(self.parts)})" if self.parts else ""
            return f"{name}, {self.target.label()}{parts}".replace("kv_groups", "key-value groups")
        amount = self.pattern if self.pattern != "unstructured" else f"{self.nominal * 100:g} %"
        how = [] if self.allocation == "uniform" else [{"owl": "OWL", "sensitivity": "by sensitivity"}[self.allocation]]
        how += ["sequential"] if self.mode == "sequential" else []
        return f"{name} {amount}" + (f" ({', '.join(how)})" if how else "")


class Evaluate(Strict):
    """Measure quality with the recipe's `evaluation`."""

    step: Literal["evaluate"] = "evaluate"


class Measure(Strict):
    """Measure size, latency and memory with the recipe's `latency`."""

    step: Literal["measure"] = "measure"


class Quantise(Strict):
    """Keep the weights of the linear layers as int8, with one scale a row; activations follow at run time."""

    step: Literal["quantise"] = "quantise"
    format: Literal["int8"] = "int8"
    of: Literal["current", "baseline"] = "current"
    """baseline: the model as it came; the steps that follow go on with the one before."""

    def label(self) -> str:
        return f"{self.format} weights"


class Export(Strict):
    """Write the model to a folder under the run, in a format of `core.exports`."""

    step: Literal["export"] = "export"
    format: str = "huggingface"

    @field_validator("format")
    @classmethod
    def known_format(cls, value: str) -> str:
        if value not in EXPORTS:
            raise ValueError(f"unknown format '{value}'; known: {', '.join(EXPORTS)}")
        return value


class Select(Strict):
    """Tries several prunings, trains the best few equally, and goes on with the one that is then best (Minitron).

    Rankings change with recovery, so the winner is chosen after it. No option removes more than a third of
    the blocks' parameters at once: beyond that, repeat the step.
    """

    step: Literal["select"] = "select"
    options: tuple[Prune, ...] = Field(min_length=2, max_length=50)
    best: int = Field(2, ge=1, le=50)
    """How many options, by their loss, are trained."""
    recovery: Distil = Distil()

    @model_validator(mode="after")
    def sensible(self) -> Select:
        if len(set(self.options)) < len(self.options):
            raise ValueError("an option is listed twice")
        if self.best > len(self.options):
            raise ValueError(f"'best' is {self.best}, and there are only {len(self.options)} options")
        if self.recovery.student != "current" or self.recovery.design is not None:
            raise ValueError("'recovery' trains the options themselves: leave out 'student' and 'design'")
        for option in self.options:
            fraction = option.target.block_fraction if option.target else None
            if fraction is not None and fraction > MOST_AT_ONCE:
                raise ValueError(
                    f"an option removes {fraction:.0%} of the blocks' parameters, and at most a third should go at "
                    "once: remove a third, let it recover, then 'select' again"
                )
        return self

    def label(self) -> str:
        return f"best of {len(self.options)} options after recovery"


MOST_AT_ONCE = 0.34
"""Share of the blocks' parameters one `select` may remove (Muralidharan et al. 2024: a third)."""

Step = Annotated[Prune | Distil | Quantise | Select | Evaluate | Measure | Export, Field(discriminator="step")]


class Grid(Strict):
    """A block of trials: every combination of its lists."""

    method: tuple[str, ...]
    sparsity: tuple[Fraction, ...] = ()
    pattern: tuple[Pattern, ...] = ("unstructured",)
    target: tuple[Target, ...] = ()
    mode: Mode = "joint"
    allocation: Allocation = "uniform"
    protect: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    multiple: int = Field(8, ge=1, le=4_096)
    seeds: tuple[int, ...] = (0,)

    @field_validator("method", mode="before")
    @classmethod
    def one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def prunes(self) -> list[Prune]:
        """The trials of this block, in order; invalid combinations raise ValueError."""
        out: list[Prune] = []
        for name, seed in itertools.product(self.method, self.seeds):
            base: dict[str, Any] = {"method": name, "mode": self.mode, "protect": self.protect, "seed": seed}
            if name in METHODS and METHODS[name].structured:
                parts = self.parts if METHODS[name].family == "width" else ()
                out += [Prune(**base, target=t, parts=parts, multiple=self.multiple) for t in self.target]
            else:
                for pattern in self.pattern:
                    if pattern != "unstructured":
                        out.append(Prune(**base, pattern=pattern))
                    else:
                        out += [Prune(**base, sparsity=s, allocation=self.allocation) for s in self.sparsity]
        if not out:
            raise ValueError("no trials: give 'sparsity' (or an N:M 'pattern') or, for structured methods, 'target'")
        return out


class Sweep(Strict):
    """A grid of prune trials over one model with one calibration, shapes found for a budget, or both."""

    grid: tuple[Grid, ...] = ()
    budget: Budget | None = None
    keep: Literal["all", "structured", "none"] = "structured"
    """Which saved models stay on disk after they were measured."""

    @model_validator(mode="after")
    def asks_for_something(self) -> Sweep:
        if not self.grid and self.budget is None:
            raise ValueError("has no trials: give 'grid', or a 'budget'")
        return self

    def trials(self) -> list[Prune]:
        """Every trial of the grid once, in order; those of a budget are known when it runs."""
        return list(dict.fromkeys(p for g in self.grid for p in g.prunes()))


class Recipe(Strict):
    """A model reference and what to do with it."""

    name: str = Field(min_length=1, max_length=120)
    model: str
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    latency: Latency | None = Latency()
    """None: latency is not measured."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where this processor computes in it, else float32."""
    steps: tuple[Step, ...] = ()
    sweep: Sweep | None = None
    minutes: float | None = Field(None, gt=0.0)
    """The run stops after so many at a stretch, keeps what it has, and can be resumed; None: no limit."""
    seed: int = Field(0, ge=0)
    executor: Literal["local", "ray", "ray-sharded"] = "local"
    """ray: nodes of a Ray cluster measure a sweep's trials and train; sharded: each keeps a part (docs/cluster.md)."""

    @field_validator("model")
    @classmethod
    def model_reference(cls, value: str) -> str:
        if not re.match(r"^(hub|path|sample|run):\S", value):
            raise ValueError("a model reference starts with 'sample:', 'path:', 'hub:' or 'run:'")
        return value

    @model_validator(mode="after")
    def one_kind(self) -> Recipe:
        if bool(self.steps) == (self.sweep is not None):
            raise ValueError("give either 'steps' or 'sweep'")
        if self.sweep is not None:
            self.sweep.trials()
        return self

    @model_validator(mode="after")
    def quantised_last(self) -> Recipe:
        changes = [s for s in self.steps if not isinstance(s, Evaluate | Measure | Export)]
        if any(isinstance(s, Quantise) and s.of == "current" for s in changes[:-1]):
            raise ValueError(
                "int8 weights can be neither pruned nor trained: 'quantise' comes after those steps, once "
                "('of: baseline' may stand anywhere)"
            )
        return self

    @property
    def kind(self) -> Literal["sweep", "recipe"]:
        return "sweep" if self.sweep is not None else "recipe"
