"""A sweep with a budget: its limits become explicit shapes, which are then built and measured as any trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from core.analysis.paired_times import deciding, stray
from core.analysis.time_references import aligned
from core.base import json_io
from core.base.integrity import damage, write_sealed
from core.base.progress import Level
from core.engine.data.inputs import prepare
from core.engine.measure.layer_table import LayerTable, layer_table
from core.engine.models.architectures import Architecture, adapter_for
from core.engine.models.context import context_of
from core.engine.prune.budget import Option, choose, options
from core.engine.prune.gradients import refuse_unless_causal
from core.engine.prune.removal import without_layer
from core.engine.prune.statistics import Statistics
from core.engine.prune.structured import prune_structure
from core.engine.prune.targets import Plan, Question
from core.engine.run.prune_step import Source, statistics_for
from core.engine.run.sensitivity import evaluation_of
from core.engine.run.session import Session
from core.recipe.budget import Budget, said
from core.recipe.heal import USUAL
from core.recipe.recipe import Grid, Latency, Prune, Recipe, Sizes, Sweep, Target
from core.recipe.results import Result
from core.recipe.trial_keys import chain_key
from core.registry.measurement import Measurement
from core.registry.methods import Statistic

_SHARES = (0.25, 0.5, 0.75, 1.0)  # of the MLP width: where time and loss are measured
_WINDOWS = 4  # calibration windows a loss is measured on while shapes are compared
PLAN = "budget-plan.json"


def expanded(session: Session) -> Recipe:
    """The recipe with explicit shapes in place of its budget. A run that goes on keeps the shapes it had chosen.

    Raises:
        RetortError: no shape fits, the model's parts cannot be removed, or it writes no text.
    """
    recipe = session.recipe
    assert recipe.sweep is not None and recipe.sweep.budget is not None
    path, asked = session.hooks.run_folder / PLAN, _asked(session, recipe.sweep.budget)
    try:
        if damage(path) is not None:
            raise ValueError("it is damaged")
        known = json_io.load(path.read_bytes())
        if known["asked"] != asked:
            raise ValueError("it was made for another model, text or budget")
        grid = tuple(Grid.model_validate(g) for g in known["grid"])
    except (OSError, ValueError, KeyError, TypeError):
        grid = tuple(_grid(session, o) for o in plan(session, recipe.sweep.budget))
        write_sealed(path, json.dumps({"asked": asked, "grid": [g.model_dump(mode="json") for g in grid]}))
    return recipe.model_copy(update={"sweep": Sweep(grid=(*recipe.sweep.grid, *grid), keep=recipe.sweep.keep)})


def _asked(session: Session, budget: Budget) -> str:
    """Identifies what shapes are chosen by: the model, the calibration text, the budget and how times are taken."""
    return chain_key(session.recipe, session.identity, [budget], {"chosen": "shapes"})


def plan(session: Session, budget: Budget) -> list[Option]:
    """The best shapes expected to fit the budget.

    The loss of a shape is estimated as that of its depth (the layers of least influence skipped) plus that of
    its width (the least active neurons cut), both measured on a little calibration text. Men et al. 2024,
    ShortGPT; Muralidharan et al. 2024, Minitron.
    """
    model, reporter = session.loaded.model, session.reporter
    refuse_unless_causal(model, "Fitting a budget")
    architecture = adapter_for(model)
    widths = _widths(architecture, budget.multiple)
    spec = session.recipe.latency or Latency()
    reporter.label = "Budget"
    try:
        table = layer_table(model, architecture, widths, spec, session.hooks.settings, reporter)
        depth_loss, width_loss = _losses(session, architecture, widths)
    finally:
        reporter.label = ""
    if table.settings.get("contended"):
        reporter.event("warning", "Other work kept this machine busy while its layers were timed.")
    size = Question(model, session.loaded.tokenizer, architecture, ("layers",), (), budget.multiple)
    layers = range(1, architecture.layers + 1)
    every = sorted({*widths, *range(widths[0], widths[-1], budget.multiple)})
    megabytes = Megabytes(size)
    found = options(
        layers,
        every,
        lambda n, w: {"megabytes": megabytes.of(n, w), **_times(table, n, w)},
        lambda n, w: depth_loss[n] + float(np.interp(w, widths, width_loss)),
    )
    dense = found.pop()  # the last of both ranges: the model as it is
    if dense.fits(budget.limits()):
        reporter.event("info", "The model as it is is expected to fit the budget already.")
    chosen = choose(found, budget)
    for option in chosen:
        expected = {k: option.values[k] for k in budget.limits()}
        reporter.event(
            "info",
            f"Chosen for the budget: {option.layers} layers, {option.neurons} MLP neurons; expected {said(expected)}.",
            loss=option.loss,
        )
    return chosen


class Megabytes:
    """The size on disk of a shape, from two counts: parameters are linear in depth, and in width."""

    def __init__(self, question: Question) -> None:
        architecture = question.architecture
        self._question, self._full = question, dict(architecture.sizes)
        whole = Plan(architecture.layers, self._full)
        self._bytes_each = question.model.dtype.itemsize
        self._beside = question.bytes(whole) - question.counts(whole).total * self._bytes_each
        self._blocks: dict[int, float] = {}
        self._outside = question.counts(whole).outside

    def of(self, layers: int, neurons: int) -> float:
        if neurons not in self._blocks:
            sizes = {**self._full, "neurons": neurons} if "neurons" in self._full else self._full
            counts = self._question.counts(Plan(self._question.architecture.layers, sizes))
            self._blocks[neurons] = counts.blocks / self._question.architecture.layers
        return ((self._outside + layers * self._blocks[neurons]) * self._bytes_each + self._beside) / 1e6


def report_verdicts(session: Session, budget: Budget, dense: Result | None, shapes: Sequence[Result]) -> None:
    """Says of each measured shape whether it met the budget.

    A time counts as its ratio to the dense model timed in turns, times one time of that for all: milliseconds of the
    moment each was measured in are not compared with the limit.
    """
    for result in aligned([*([dense] if dense else []), *shapes])[1 if dense else 0 :]:
        values = _measured(result, budget)
        missed = {k: v for k, v in values.items() if v > budget.limits()[k]}
        alone = not values.keys() >= budget.limits().keys()
        verdict = f"over the budget of {said({k: budget.limits()[k] for k in missed})}" if missed else "in the budget"
        if alone and not missed:
            verdict = "not shown to be in the budget, as it was not timed in turns with the dense model"
        level: Level = "warning" if missed or alone else "info"
        session.reporter.event(level, f"{result.label}: measured {said(values) or 'no time'}, {verdict}.")


def _measured(result: Result, budget: Budget) -> dict[str, float]:
    by: dict[str, Measurement] = {m.metric: m for m in result.measurements}
    values: dict[str, float] = {}
    for name in budget.limits():
        if name == "megabytes" and "disk_bytes" in by:
            disk = by["disk_bytes"]
            values[name] = float(disk.settings.get("with_tokenizer_and_config", disk.value)) / 1e6
        elif name in by and not stray(by[name]):
            values[name] = deciding(by[name])
    return values


def _widths(architecture: Architecture, multiple: int) -> list[int]:
    """The widths to measure at, ascending; only the model's own where its neurons cannot be cut."""
    full = architecture.sizes.get("neurons", 0)
    if architecture.family.neuron_site is None:
        return [full]
    return sorted({max(multiple, round(full * s / multiple) * multiple) if s < 1 else full for s in _SHARES})


def _times(table: LayerTable, layers: int, neurons: int) -> dict[str, float]:
    return {metric: table.time(metric, layers, neurons) for metric in ("decode_ms", "prefill_ms")}


def _losses(
    session: Session, architecture: Architecture, widths: Sequence[int]
) -> tuple[dict[int, float], list[float]]:
    """Loss changes by number of layers left, and by width."""
    loaded, reporter, recipe = session.loaded, session.reporter, session.recipe
    context = context_of(loaded.model)
    inputs = prepare(
        recipe, loaded.tokenizer, loaded.task, context, session.hooks.settings, session.hooks.actor, reporter, True
    )
    source = Source(loaded, session.resolved.fingerprint, inputs.calibration)
    needs: set[Statistic] = {"block_influence"}
    if len(widths) > 1:
        needs.add("unit_activations")
    statistics = statistics_for(source, frozenset(needs), session.hooks.settings, reporter)
    assert statistics is not None and inputs.calibration is not None
    windows = inputs.calibration[:_WINDOWS]
    return _depth(session, architecture, statistics, windows), _width(session, statistics, windows, widths)


def _mean_loss(session: Session, model: PreTrainedModel, windows: torch.Tensor) -> float:
    loaded = replace(session.loaded, model=model)
    losses = evaluation_of(loaded, windows, session.recipe.evaluation.batch, session.reporter)()
    return sum(losses) / len(losses)


def _depth(
    session: Session, architecture: Architecture, statistics: Statistics, windows: torch.Tensor
) -> dict[int, float]:
    model, total = session.loaded.model, architecture.layers
    influence = statistics.block_influence
    order = sorted(range(total), key=lambda i: (float(influence[i]), i))
    dense = _mean_loss(session, model, windows)
    found = {total: 0.0}
    with ExitStack() as gone:
        for count, layer in enumerate(order[:-1], start=1):
            session.reporter.checkpoint()
            session.reporter.progress(count, total, f"Measuring the loss of {total - count} layers.")
            gone.enter_context(without_layer(architecture.blocks(model), layer))
            found[total - count] = _mean_loss(session, model, windows) - dense
    return found


def _width(session: Session, statistics: Statistics, windows: torch.Tensor, widths: Sequence[int]) -> list[float]:
    dense = _mean_loss(session, session.loaded.model, windows)
    found: list[float] = []
    for width in widths[:-1]:
        session.reporter.checkpoint()
        session.reporter.progress(len(found), len(widths), f"Measuring the loss of {width} MLP neurons.")
        step = Prune(method="width_activations", target=Target(sizes=Sizes(intermediate=width)))
        narrow, _ = prune_structure(session.loaded, step, statistics, windows, session.reporter)
        found.append(_mean_loss(session, narrow, windows) - dense)
    return [*found, 0.0]


def _grid(session: Session, option: Option) -> Grid:
    """The shape as a block of one trial: layers by block influence, neurons by their activations."""
    full = adapter_for(session.loaded.model).sizes.get("neurons", option.neurons)
    if option.neurons == full:
        return Grid(method=("block_influence",), target=(Target(sizes=Sizes(layers=option.layers)),), heal=USUAL)
    sizes = Sizes(layers=option.layers, intermediate=option.neurons)
    return Grid(method=("width_activations",), target=(Target(sizes=sizes),), heal=USUAL)
