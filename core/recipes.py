"""Recipes: what a run does, as plain YAML. Validated here, before any work; light: no torch.

A recipe has either `steps` (one model through an ordered list) or a `sweep` (one model, one
calibration, a grid of trials). `load_recipe` refuses anything else with the path in the file.
"""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.methods import METHODS

Mode = Literal["joint", "sequential"]
Allocation = Literal["uniform", "owl", "sensitivity"]
Pattern = Annotated[str, Field(description="'unstructured' or 'N:M' such as '2:4' (N of every M stay)")]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Strict(BaseModel):
    """Unknown keys are refused; values are frozen so a recipe can be hashed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(Strict):
    """Text: a sample corpus with its split, a local file, or a hub data set.

    `data`: `sample:wiki` (its three parts never overlap), `path:/folder/file.txt|csv|jsonl|parquet`,
    `hub:org/name@revision`.
    """

    data: str = "sample:wiki"
    split: str | None = None
    column: str | None = None


class Calibration(Corpus):
    """What statistics are gathered on: `sequences` windows of `length` tokens, drawn with `seed`."""

    split: str | None = "calibration"
    sequences: int = Field(32, ge=1, le=100_000)
    length: int = Field(512, ge=8, le=131_072)
    seed: int = Field(0, ge=0)


class Evaluation(Corpus):
    """What perplexity is measured on: the first `tokens` tokens in windows of `window`."""

    split: str | None = "evaluation"
    tokens: int = Field(8_192, ge=16, le=1_000_000_000)
    window: int = Field(512, ge=8, le=131_072)
    batch: int = Field(4, ge=1, le=4_096)


class Latency(Strict):
    """How latency is measured: a prompt, then new tokens, repeated and interleaved with the baseline."""

    prompt: int = Field(128, ge=1, le=131_072)
    new_tokens: int = Field(16, ge=2, le=8_192)
    repeats: int = Field(5, ge=1, le=1_000)
    warmup: int = Field(1, ge=0, le=100)
    batch: int = Field(1, ge=1, le=1_024)


class Sizes(Strict):
    """Explicit sizes of the pruned model; what is left out stays as it is."""

    layers: int | None = Field(None, ge=1)
    intermediate: int | None = Field(None, ge=1)
    heads: int | None = Field(None, ge=1)
    kv_heads: int | None = Field(None, ge=1)
    hidden: int | None = Field(None, ge=1)
    experts: int | None = Field(None, ge=1)


class Target(Strict):
    """How much a structured method removes: exactly one of these.

    remove_layers: layers to take out.  block_fraction: fraction of the parameters inside the blocks to
    remove.  total_fraction: of all parameters.  megabytes: size on disk to reach.  sizes: explicit.
    """

    remove_layers: int | None = Field(None, ge=0)
    block_fraction: float | None = Field(None, ge=0.0, lt=1.0)
    total_fraction: float | None = Field(None, ge=0.0, lt=1.0)
    megabytes: float | None = Field(None, gt=0.0)
    sizes: Sizes | None = None

    @model_validator(mode="after")
    def one_target(self) -> Target:
        given = [k for k, v in self if v is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(type(self).model_fields)}; got {given or 'none'}")
        return self

    def label(self) -> str:
        if self.remove_layers is not None:
            return f"{self.remove_layers} layer{'s' if self.remove_layers != 1 else ''} removed"
        if self.block_fraction is not None:
            return f"{self.block_fraction:.0%} of block parameters removed"
        if self.total_fraction is not None:
            return f"{self.total_fraction:.0%} of all parameters removed"
        if self.megabytes is not None:
            return f"{self.megabytes:g} MB"
        assert self.sizes is not None
        return ", ".join(f"{k} {v}" for k, v in self.sizes if v is not None)


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
            return f"{name}, {self.target.label()}"
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


class Export(Strict):
    """Write the model to a folder under the run, as a Hugging Face folder."""

    step: Literal["export"] = "export"
    format: Literal["huggingface"] = "huggingface"


Step = Annotated[Prune | Evaluate | Measure | Export, Field(discriminator="step")]


class Grid(Strict):
    """A block of trials: every combination of its lists."""

    method: tuple[str, ...]
    sparsity: tuple[Fraction, ...] = ()
    pattern: tuple[Pattern, ...] = ("unstructured",)
    target: tuple[Target, ...] = ()
    mode: Mode = "joint"
    allocation: Allocation = "uniform"
    protect: tuple[int, ...] = ()
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
                out += [Prune(**base, target=t) for t in self.target]
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
    """A grid of prune trials over one model with one calibration."""

    grid: tuple[Grid, ...] = Field(min_length=1)
    keep: Literal["all", "structured", "none"] = "structured"
    """Which saved models stay on disk after they were measured."""

    def trials(self) -> list[Prune]:
        """Every trial once, in order."""
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
    seed: int = Field(0, ge=0)

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

    @property
    def kind(self) -> Literal["sweep", "recipe"]:
        return "sweep" if self.sweep is not None else "recipe"


def n_of_m(pattern: str) -> tuple[int, int]:
    """(N, M) of 'N:M': N of every M consecutive inputs stay. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,3}):(\d{1,3})", pattern)
    if not found or not 0 < int(found[1]) < int(found[2]):
        raise ValueError(f"pattern '{pattern}' is neither 'unstructured' nor N:M with 0 < N < M, such as 2:4")
    return int(found[1]), int(found[2])
