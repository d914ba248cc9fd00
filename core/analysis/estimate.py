"""What a run will take, before it starts: trials, time, disk.

Times come from a timed probe of this machine (`core.engine.measure.machine_rates`), scaled by the model's size and,
where this model was measured here before, by how much longer that took than the probe would have said: so that a
smaller and a larger run have estimates of one kind. `basis` says which.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.base.json_io import load
from core.base.settings import Settings
from core.base.untrusted_files import read_bounded
from core.recipe.recipe import Distil, Evaluation, Prune, Recipe, Select, Sweep
from core.recipe.results import Result
from core.registry.methods import METHODS
from core.registry.tasks import TASK_SETS

_START_SECONDS = 12.0  # a worker's imports, loading the model, tokenising
_LATENCY_FACTOR = 2.2  # every timing is interleaved with the baseline, plus its warm-up
_BACKWARD = 1.25  # training reaches less of the arithmetic bound than a forward alone
_ALL_ITEMS = 2_000  # items of a whole task, middling
_ITEM_TOKENS = 120
_HEALING_PASSES = 6.0
_CHECK_SECONDS = 2.0  # reload in a fresh process


Rate = Annotated[float, Field(gt=1e-12, lt=1e30)]


class MachineProbe(BaseModel):
    """Rates measured on this machine (units in the names)."""

    model_config = ConfigDict(frozen=True)
    dtype: Literal["float32", "bfloat16", "float16"]
    threads: int
    forward_flops: Rate
    decode_seconds_per_layer: Annotated[float, Field(ge=0, lt=1e12)]
    rank_weights_per_second: Rate
    write_bytes_per_second: Rate
    taken: float | None = None
    """When it was timed, in seconds since 1970; None in probes of older versions."""
    other_cpu_cores: Annotated[float, Field(ge=0, lt=1e6)] = 0.0
    """How many cores other work kept busy meanwhile."""
    contended: bool = False
    """Whether that was so much that the rates may be too low."""


class Past(NamedTuple):
    """A candidate that was measured here, as its recipe asked for, and the seconds it took."""

    recipe: Recipe
    prune: Prune | None
    seconds: float


class ModelSize(BaseModel):
    """What the estimate needs to know of a model; all of it stands in its anatomy."""

    model_config = ConfigDict(frozen=True)
    parameters: int
    active_parameters: int
    """Parameters a token passes through (fewer than all in a mixture of experts)."""
    block_parameters: int
    layers: int
    disk_bytes: int


class Estimate(BaseModel):
    """An estimate, and what it rests on."""

    model_config = ConfigDict(frozen=True)
    trials: int
    seconds: float | None
    """None until this machine has been timed."""
    disk_bytes: int
    basis: str


def probe_path(settings: Settings) -> Path:
    return settings.home / "machine-probe.json"


def read_probe(settings: Settings) -> MachineProbe | None:
    """The stored probe, or None where this machine was never timed (or the file is damaged)."""
    try:
        return MachineProbe.model_validate(load(read_bounded(probe_path(settings), 100_000)))
    except (OSError, ValueError):
        return None


def computed_in(settings: Settings) -> str:
    """The type this processor computes in, as far as it was timed: bfloat16 where nobody knows."""
    probe = read_probe(settings)
    return "float32" if probe is not None and probe.dtype == "float32" else "bfloat16"


def past(results: Iterable[Result]) -> list[Past]:
    """The durations among results of sweeps; those of recipes this version does not know are left out."""
    found = []
    for r in results:
        try:
            prune = None if r.prune is None else Prune.model_validate(r.prune)
            if r.seconds > 0 and (prune is not None or r.baseline):
                found.append(Past(Recipe.model_validate(r.recipe), prune, r.seconds))
        except ValidationError:
            continue
    return found


def estimate(recipe: Recipe, size: ModelSize, settings: Settings, earlier: Sequence[Past] = ()) -> Estimate:
    """Trials, seconds and bytes of disk a sweep needs.

    Args:
        recipe: a recipe with a sweep.
        size: the model's size.
        settings: where the probe is stored.
        earlier: candidates of this model that were measured on this machine.
    """
    assert recipe.sweep is not None
    prunes = recipe.sweep.trials()
    disk = size.disk_bytes * models_on_disk(recipe.sweep)
    count = len(prunes) + 1
    probe = read_probe(settings)
    if probe is None:
        return Estimate(trials=count, seconds=None, disk_bytes=disk, basis="this machine has not been timed yet")
    work = _calibration(recipe, prunes, size, probe)
    work += sum(_made_and_measured(recipe, p, size, probe) for p in [None, *prunes])
    seconds = _START_SECONDS + work * slower(earlier, size, probe)
    return Estimate(trials=count, seconds=seconds, disk_bytes=disk, basis=basis(earlier))


def recipe_seconds(recipe: Recipe, size: ModelSize, settings: Settings) -> float | None:
    """What a recipe takes, all its models taken to be as large as the first; None until the machine was timed."""
    if recipe.sweep is not None:
        return estimate(recipe, size, settings).seconds
    stages = 1 + sum(len(s.options) + s.best if isinstance(s, Select) else hasattr(s, "label") for s in recipe.steps)
    trainings = [s for s in recipe.steps if isinstance(s, Distil)]
    trainings += [s.recovery for s in recipe.steps if isinstance(s, Select) for _ in range(s.best)]
    taken = [training_seconds(t, size, size, settings, t.data.length) for t in trainings]
    measuring = measuring_seconds(recipe, [size] * stages, settings)
    if measuring is None or None in taken:
        return None
    return _START_SECONDS + measuring + sum(t for t in taken if t is not None)


def basis(earlier: Sequence[Past]) -> str:
    """What a time rests on, in words."""
    if not earlier:
        return "estimated from a timed probe of this machine"
    many = "1 finished candidate" if len(earlier) == 1 else f"{len(earlier):,} finished candidates"
    return f"from {many} of this model on this machine"


def slower(earlier: Sequence[Past], size: ModelSize, probe: MachineProbe) -> float:
    """How many times as long as the probe says this model's candidates took here: the median; 1 where there is none."""
    ratios = [e.seconds / _made_and_measured(e.recipe, e.prune, size, probe) for e in earlier]
    return statistics.median(ratios) if ratios else 1.0


def measuring_seconds(recipe: Recipe, sizes: Sequence[ModelSize], settings: Settings) -> float | None:
    """Seconds to judge and time models of these sizes as the recipe asks; None until the machine has been timed."""
    probe = read_probe(settings)
    return None if probe is None else sum(_trial(recipe, None, size, probe) for size in sizes)


def models_on_disk(sweep: Sweep) -> int:
    """The most models a sweep has on disk at once: those that are kept, and one that is being written."""
    prunes = sweep.trials()
    kept = {"all": len(prunes), "structured": sum(METHODS[p.method].structured for p in prunes), "none": 0}
    return kept[sweep.keep] + 1


def _forward(tokens: int, size: ModelSize, probe: MachineProbe) -> float:
    return 2 * size.active_parameters * tokens / probe.forward_flops


def _calibration(recipe: Recipe, prunes: list[Prune], size: ModelSize, probe: MachineProbe) -> float:
    tokens = recipe.calibration.sequences * recipe.calibration.length
    joint = any(METHODS[p.method].calibrated and p.mode == "joint" for p in prunes)
    passes = float(joint) + 2.0 * sum(METHODS[p.method].calibrated and p.mode == "sequential" for p in prunes)
    return passes * _forward(tokens, size, probe)


def _made_and_measured(recipe: Recipe, prune: Prune | None, size: ModelSize, probe: MachineProbe) -> float:
    seconds = _trial(recipe, prune, size, probe) + _search(recipe, prune, size, probe)
    return seconds + _healing(recipe, prune, size, probe)


def _healing(recipe: Recipe, prune: Prune | None, size: ModelSize, probe: MachineProbe) -> float:
    """The dense model reads the calibration text once, the smaller one up to twice; the solves take as long again."""
    if prune is None or prune.heal == "none":
        return 0.0
    tokens = recipe.calibration.sequences * recipe.calibration.length
    return _HEALING_PASSES * _forward(tokens, size, probe)


def _search(recipe: Recipe, prune: Prune | None, size: ModelSize, probe: MachineProbe) -> float:
    """Seconds of measuring the loss without each layer that is left, once for every layer that goes.

    The layers before the one left out are not computed again: half of the blocks' work on average.
    """
    windows = 0 if prune is None else min(METHODS[prune.method].search_windows, recipe.calibration.sequences)
    if not windows or not size.layers:
        return 0.0
    if prune is not None and METHODS[prune.method].kind == "shapes":
        return METHODS[prune.method].search_tries * _forward(windows * recipe.calibration.length, size, probe)
    blocks = size.block_parameters / size.parameters
    gone = round((1.0 - _share_left(prune, size)) / blocks * size.layers) if blocks else 0
    most = METHODS[prune.method].search_tries if prune is not None else 0
    tries = sum(min(most or size.layers, size.layers - i) for i in range(gone))
    return tries * (1 - blocks / 2) * _forward(windows * recipe.calibration.length, size, probe)


def _trial(recipe: Recipe, prune: Prune | None, size: ModelSize, probe: MachineProbe) -> float:
    left = _share_left(prune, size)
    seconds = _forward(evaluation_tokens(recipe.evaluation), size, probe) * left + _CHECK_SECONDS
    seconds += size.disk_bytes / probe.write_bytes_per_second
    if prune is not None and not METHODS[prune.method].structured:
        seconds += size.block_parameters / probe.rank_weights_per_second
    if recipe.latency is not None:
        spec = recipe.latency
        once = _forward(spec.prompt, size, probe) + spec.new_tokens * size.layers * probe.decode_seconds_per_layer
        seconds += _LATENCY_FACTOR * (spec.repeats + spec.warmup) * once
    return seconds


def evaluation_tokens(evaluation: Evaluation) -> int:
    """Tokens one candidate reads to be judged; of tasks Retort does not know the length, a middling one is taken."""
    items = evaluation.items or _ALL_ITEMS
    per_item = [TASK_SETS[t].item_tokens if t in TASK_SETS else _ITEM_TOKENS for t in evaluation.tasks]
    per_item += [_ITEM_TOKENS * (1 + t.shots) for t in evaluation.own_tasks]
    return evaluation.tokens + items * sum(per_item)


def _share_left(prune: Prune | None, size: ModelSize) -> float:
    """The share of the dense work a structured candidate still does."""
    if prune is None or prune.target is None:
        return 1.0
    blocks = size.block_parameters / size.parameters
    if prune.target.remove_layers is not None and size.layers:
        return 1.0 - blocks * prune.target.remove_layers / size.layers
    if prune.target.block_fraction is not None:
        return 1.0 - blocks * prune.target.block_fraction
    if prune.target.total_fraction is not None:
        return 1.0 - prune.target.total_fraction
    if prune.target.megabytes is not None:
        return min(1.0, prune.target.megabytes * 1e6 / size.disk_bytes)
    if prune.target.sizes is not None and prune.target.sizes.layers is not None and size.layers:
        return 1.0 - blocks * (1.0 - min(1.0, prune.target.sizes.layers / size.layers))
    return 1.0


def training_seconds(
    spec: Distil, student: ModelSize, teacher: ModelSize | None, settings: Settings, context: int
) -> float | None:
    """Seconds a distil or fine-tune step takes: its budget, or its tokens by this machine's timed rate.

    A token costs a forward and a backward of the student (three forwards) and a forward of the teacher.
    None until the machine has been timed.
    """
    if spec.budget.minutes is not None:
        return spec.budget.minutes * 60
    probe = read_probe(settings)
    if probe is None:
        return None
    tokens = spec.budget.tokens or (spec.budget.steps or 0) * spec.batch * min(spec.data.length, context)
    passes = 4 if spec.gradient_checkpointing else 3
    work = _BACKWARD * passes * student.active_parameters
    if teacher is not None and spec.needs_teacher:
        work += teacher.active_parameters
    return _START_SECONDS + 2 * work * tokens / probe.forward_flops
