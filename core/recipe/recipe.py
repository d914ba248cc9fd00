"""Recipes: what a run does, as plain YAML. Validated here, before any work; light: no torch.

A recipe has either `steps` (one model through an ordered list) or a `sweep` (one model, one
calibration, a grid of trials). `load_recipe` refuses anything else with the path in the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, field_validator, model_validator

from core.recipe.asserts import Asserts as Asserts
from core.recipe.budget import Budget as Budget
from core.recipe.distil import Distil as Distil
from core.recipe.heal import heals
from core.recipe.names import LENGTH, model_name, steps_name, sweep_name
from core.recipe.parts import Allocation as Allocation
from core.recipe.parts import Calibration as Calibration
from core.recipe.parts import Corpus as Corpus
from core.recipe.parts import Evaluation as Evaluation
from core.recipe.parts import Fraction as Fraction
from core.recipe.parts import Heal as Heal
from core.recipe.parts import Latency as Latency
from core.recipe.parts import Layer as Layer
from core.recipe.parts import Mode as Mode
from core.recipe.parts import Part as Part
from core.recipe.parts import Pattern as Pattern
from core.recipe.parts import Seed as Seed
from core.recipe.parts import Sizes as Sizes
from core.recipe.parts import StepName as StepName
from core.recipe.parts import Strict as Strict
from core.recipe.parts import Target as Target
from core.recipe.parts import n_of_m as n_of_m
from core.recipe.parts import shown
from core.recipe.prune import Prune as Prune
from core.recipe.references import ModelReference, model_parts
from core.recipe.trim import Trim as Trim
from core.registry.formats import EXPORTS
from core.registry.formatting import percent
from core.registry.methods import METHODS


class Evaluate(Strict):
    """Measure quality with the recipe's `evaluation`."""

    step: Literal["evaluate"] = "evaluate"


class Measure(Strict):
    """Measure size, latency and memory with the recipe's `latency`."""

    step: Literal["measure"] = "measure"


class Quantise(Strict):
    """Keep the weights of the linear layers as int8, with one scale per row; activations follow at run time."""

    step: Literal["quantise"] = "quantise"
    name: StepName = ""
    format: Literal["int8"] = "int8"
    of: Literal["current", "baseline"] = "current"
    """baseline: the model as it came; the steps that follow go on with the one before."""

    def label(self) -> str:
        return self.name or f"{self.format} weights"


class Export(Strict):
    """Write the model to a folder under the run, in a format of `core.catalogue.exportable`."""

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
                    f"an option removes {percent(fraction)} of the blocks' parameters, and at most a third should go "
                    "at once: remove a third, let it recover, then 'select' again"
                )
        return self

    def label(self) -> str:
        return f"best of {len(self.options)} options after recovery"


MOST_AT_ONCE = 0.34
"""Share of the blocks' parameters one `select` may remove (Muralidharan et al. 2024: a third)."""

Step = Annotated[Prune | Trim | Distil | Quantise | Select | Evaluate | Measure | Export, Field(discriminator="step")]


_LISTED = 10_000
"""Entries of one list: `core.recipe.files` refuses more trials than that."""


class Grid(Strict):
    """A block of trials: every combination of its lists."""

    method: tuple[str, ...] = Field(min_length=1, max_length=100)
    sparsity: tuple[Fraction, ...] = Field((), max_length=_LISTED)
    pattern: tuple[Pattern, ...] = Field(("unstructured",), min_length=1, max_length=100)
    target: tuple[Target, ...] = Field((), max_length=_LISTED)
    mode: Mode = "joint"
    allocation: Allocation = "uniform"
    protect: tuple[Layer, ...] = Field((), max_length=10_000)
    parts: tuple[Part, ...] = Field((), max_length=6)
    multiple: int = Field(8, ge=1, le=4_096)
    heal: Heal = "none"
    """Of the methods that can be healed."""
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, max_length=_LISTED)

    @field_validator("method", mode="before")
    @classmethod
    def one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def prunes(self) -> list[Prune]:
        """The trials of this block, in order; invalid combinations raise ValueError."""
        out: list[Prune] = []
        for name, seed in itertools.product(self.method, self.seeds):
            base: dict[str, Any] = {"method": name, "mode": self.mode, "protect": self.protect, "seed": seed}
            if name in METHODS and METHODS[name].structured:
                parts = self.parts if METHODS[name].family == "width" else ()
                base |= {"parts": parts, "multiple": self.multiple, "heal": self.heal if heals(name) else "none"}
                out += [Prune(**base, target=t) for t in self.target]
            else:
                for pattern in self.pattern:
                    if pattern != "unstructured":
                        out.append(Prune(**base, pattern=pattern))
                    else:
                        out += [Prune(**base, sparsity=s, allocation=self.allocation) for s in self.sparsity]
        if not out:
            raise ValueError(
                "no candidates: give 'sparsity' (or an N:M 'pattern') or, for structured methods, 'target'"
            )
        self._refuse_idle()
        return out

    def _refuse_idle(self) -> None:
        """Raises ValueError for a list that no trial takes anything from."""
        families = {METHODS[name].family for name in self.method}
        if self.sparsity and not ("weight" in families and "unstructured" in self.pattern):
            raise ValueError("nothing here takes 'sparsity': leave it out, or add a method or pattern that does")
        if self.target and families == {"weight"}:
            raise ValueError("nothing here takes 'target': leave it out, or add a method that removes parts")
        if self.parts and "width" not in families:
            raise ValueError("nothing here takes 'parts': leave it out, or add a width method")
        if self.heal != "none" and not any(heals(name) for name in self.method):
            raise ValueError("nothing here can be healed: leave 'heal' out, or add a depth or width method")


class Sweep(Strict):
    """A grid of prune trials over one model with one calibration, shapes found for a budget, or both."""

    grid: tuple[Grid, ...] = Field((), max_length=500)
    budget: Budget | None = None
    keep: Literal["all", "structured", "none"] = "structured"
    """Which saved models stay on disk after they were measured."""

    @model_validator(mode="after")
    def asks_for_something(self) -> Sweep:
        if not self.grid and self.budget is None:
            raise ValueError("has no candidates: give 'grid', or a 'budget'")
        return self

    def trials(self) -> list[Prune]:
        """Every trial of the grid once, in order; those of a budget are known when it runs."""
        return list(dict.fromkeys(p for g in self.grid for p in g.prunes()))


class Recipe(Strict):
    """A model reference and what to do with it."""

    name: Annotated[str, Field(min_length=1, max_length=LENGTH), AfterValidator(shown)] = ""
    """Left out: `usual_name`."""
    model: ModelReference
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    latency: Latency | None = Latency()
    """None: latency is not measured."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where this processor computes in it, else float32."""
    steps: tuple[Step, ...] = Field((), max_length=200)
    sweep: Sweep | None = None
    minutes: float | None = Field(None, gt=0.0, le=1e7)
    """The run stops after so many at a stretch, keeps what it has, and can be resumed; None: no limit."""
    asserts: Asserts | None = Field(
        None, validation_alias=AliasChoices("assert", "asserts"), serialization_alias="assert"
    )
    """What must hold in the end; the command that follows the run ends with status 3 where it does not."""
    seed: Seed = 0
    executor: Literal["local", "ray", "ray-sharded"] = "local"
    """ray: nodes of a Ray cluster measure a sweep's trials and train; sharded: each keeps a part (docs/cluster.md)."""

    @model_validator(mode="after")
    def one_kind(self) -> Recipe:
        if bool(self.steps) == (self.sweep is not None):
            raise ValueError("give either 'steps' or 'sweep'")
        if self.sweep is not None:
            self.sweep.trials()
        return self

    @model_validator(mode="after")
    def always_named(self) -> Recipe:
        if not self.name:
            object.__setattr__(self, "name", self.usual_name())  # frozen for everybody else
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

    @model_validator(mode="after")
    def teachers_come_before(self) -> Recipe:
        done = 0  # steps that changed the model so far
        for index, step in enumerate(self.steps):
            training = step.recovery if isinstance(step, Select) else step
            if isinstance(training, Distil) and (training.earlier_step or 0) > done:
                raise ValueError(
                    f"the teacher '{training.teacher}' of steps[{index}] is no step before it: {done} changed the "
                    "model by then"
                )
            aside = isinstance(step, Quantise) and step.of == "baseline"
            done += not (aside or isinstance(step, Evaluate | Measure | Export))
        return self

    def usual_name(self, known: Mapping[str, str] | None = None) -> str:
        """What is done, to which model: the name of a recipe that nobody named.

        Args:
            known: what models are called, by their references.
        """
        model = model_name(self.model, known)
        if self.sweep is not None:
            return sweep_name(model, self.sweep.trials(), self.sweep.budget)
        return steps_name(model, self.steps, known)

    @property
    def models(self) -> tuple[str, ...]:
        """References to its model, and to teachers and students that are none of its own."""
        others = [r for t in self.trainings for r in (t.teacher, t.student) if model_parts(r) is not None]
        return tuple(dict.fromkeys((self.model, *others)))

    @property
    def trainings(self) -> list[Distil]:
        """Every training among the steps, recoveries included."""
        steps = [s.recovery if isinstance(s, Select) else s for s in self.steps]
        return [s for s in steps if isinstance(s, Distil)]

    @property
    def retokenises(self) -> bool:
        """Whether a model may come out of it that cuts text into other tokens than its own model does."""
        others = any(t.student != "current" for t in self.trainings)
        return others or any(isinstance(s, Trim) for s in self.steps)

    @property
    def kind(self) -> Literal["sweep", "recipe"]:
        return "sweep" if self.sweep is not None else "recipe"
