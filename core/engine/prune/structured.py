"""Structured pruning: parts are physically removed, and the result loads with plain transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.base.functions import load_function
from core.base.progress import Reporter
from core.engine.models.architectures import Architecture, adapter_for
from core.engine.models.load import Loaded
from core.engine.prune.depth import DepthContext, LastHidden, block_influence
from core.engine.prune.experts import ExpertSaliency
from core.engine.prune.healing import heal
from core.engine.prune.observers import BlockInfluence, Observer
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.search_work import SearchWork
from core.engine.prune.statistics import Statistics, collect
from core.engine.prune.surgery import Keep, count_parameters, cut
from core.engine.prune.targets import Plan, Question, plan_for
from core.engine.prune.unit_observers import Fluctuation, SecondMoments, UnitActivations
from core.engine.prune.width import choose_units
from core.recipe.parts_asked import possible_parts, staying_asked
from core.recipe.recipe import Part, Prune
from core.registry.formatting import percent
from core.registry.methods import METHODS, Method, Statistic


class _Told(NamedTuple):
    """Whom a pruning tells what it does."""

    reporter: Reporter
    report: PruneReport


def structure_observers(model: PreTrainedModel, needs: Iterable[Statistic]) -> list[Observer]:
    """The observers structured methods need beside block influence, for the one calibration pass.

    Raises:
        RetortError: a statistic needs an architecture Retort does not know.
    """
    wanted = set(needs)
    observers: list[Observer] = []
    if "last_hidden" in wanted:
        observers.append(LastHidden())
    if "unit_activations" in wanted:
        observers.append(UnitActivations(adapter_for(model)))
    if "fluctuation" in wanted:
        observers.append(Fluctuation(adapter_for(model)))
    if "second_moments" in wanted:
        observers.append(SecondMoments(adapter_for(model)))
    if "expert_saliency" in wanted:
        observers.append(ExpertSaliency(adapter_for(model)))
    return observers


def prune_structure(
    loaded: Loaded,
    prune: Prune,
    statistics: Statistics | None,
    windows: Tensor | None,
    reporter: Reporter,
    work: SearchWork | None = None,
) -> tuple[PreTrainedModel, PruneReport]:
    """A smaller model with the parts removed that the method ranks lowest; `loaded.model` is not changed.

    Args:
        prune: a structured method, its target, protected layers, parts and multiple.
        statistics: of the dense model; what the method needs and they lack is gathered on `windows`.
        windows: (sequences, length) calibration tokens, without padding.
        work: where a search for a shape keeps what it makes; None: nothing is kept.

    Raises:
        RetortError: unknown architecture, a target that cannot be met, or parts that cannot be removed here.
    """
    method, model = METHODS[prune.method], loaded.model
    architecture = adapter_for(model)
    parts = parts_of(method, prune, architecture)
    removable = _removable(architecture, prune)
    question = Question(model, loaded.tokenizer, architecture, parts, removable, prune.multiple)
    report = PruneReport()
    healed = prune.heal != "none" and windows is not None and len(windows) > 1
    told = _Told(reporter, report)
    if method.kind == "shapes":
        keep = _shape(question, prune, windows, work, told)
    else:
        keep = _ranked(question, prune, statistics, windows, healed, told)
    with torch.no_grad():
        smaller = cut(model, architecture, keep)
    if healed and windows is not None:
        heal(model, smaller, keep, windows, reporter, report)
    elif prune.heal != "none":
        report.note("Not healed: healing needs at least two sequences of calibration text.")
    _describe(report, model, architecture, keep, prune, method)
    return smaller, report


def _ranked(
    question: Question, prune: Prune, statistics: Statistics | None, windows: Tensor | None, healed: bool, told: _Told
) -> Keep:
    """What stays where layers and units are ranked."""
    method, architecture = METHODS[prune.method], question.architecture
    plan = plan_for(question, prune)
    _refuse_uneven(architecture, prune, plan)
    with ExitStack() as stack:
        known = _gathered(question.model, method, plan, architecture, statistics, windows, told.reporter, stack)
        context = DepthContext(
            question.model,
            architecture,
            known,
            windows,
            architecture.layers - plan.layers,
            question.removable,
            told.reporter,
            told.report.notes,
        )
        layers = _layers(context, method)
        if plan.sizes == architecture.sizes:
            return Keep(layers)
        return choose_units(context, load_function(method.entry), plan.sizes, layers, compensate=not healed)


def _shape(question: Question, prune: Prune, windows: Tensor | None, work: SearchWork | None, told: _Told) -> Keep:
    """What stays in the shape that a search finds."""
    if prune.protect and question.parts != ("layers",):
        raise _uneven()
    context = DepthContext(
        question.model,
        question.architecture,
        None,
        windows,
        0,
        question.removable,
        told.reporter,
        told.report.notes,
    )
    with tempfile.TemporaryDirectory() as folder:
        work = work or SearchWork(Path(folder))
        keep: Keep = load_function(METHODS[prune.method].entry)(context, question, prune, work)
    told.report.facts["search"] = work.found
    return keep


def parts_of(method: Method, prune: Prune, architecture: Architecture) -> tuple[Part, ...]:
    """What the step may remove: the recipe's `parts`, or the method's usual ones.

    Raises:
        RetortError: the model has no such parts, or they have to stay.
    """
    parts = possible_parts(method, prune.parts, architecture.family.square, architecture.stays)
    if "experts" in parts and architecture.family.expert_site is None:
        raise Impossible("This model has no experts to remove.", "Choose a depth or a width method.")
    if refused := staying_asked(method, prune, architecture.family.square, architecture.stays):
        raise refused
    return parts


def _removable(architecture: Architecture, prune: Prune) -> tuple[int, ...]:
    beyond = [i for i in prune.protect if not 0 <= i < architecture.layers]
    if beyond:
        raise Impossible(
            f"Layer {beyond[0]} cannot be protected: the model's layers are 0 to {architecture.layers - 1}.",
            "Correct 'protect'.",
        )
    return tuple(i for i in range(architecture.layers) if i not in prune.protect and i not in architecture.pinned)


def _refuse_uneven(architecture: Architecture, prune: Prune, plan: Plan) -> None:
    if prune.protect and plan.sizes != architecture.sizes:
        raise _uneven()


def _uneven() -> RetortError:
    return RetortError(
        "Protected layers cannot stay wider than the others: plain transformers reads one size for all layers.",
        "Leave 'protect' empty, or remove whole layers instead.",
    )


def _gathered(
    model: PreTrainedModel,
    method: Method,
    plan: Plan,
    architecture: Architecture,
    statistics: Statistics | None,
    windows: Tensor | None,
    reporter: Reporter,
    stack: ExitStack,
) -> Statistics | None:
    """The given statistics if they hold all that is needed, else those of a pass of its own."""
    needs: set[Statistic] = set(method.needs)
    if plan.layers < architecture.layers and method.family != "depth":
        needs.add("block_influence")
    observers = structure_observers(model, needs)
    if "block_influence" in needs:
        observers.append(BlockInfluence())
    if not observers or (statistics is not None and all(statistics.has(o.key) for o in observers)):
        return statistics
    if windows is None:
        raise RetortError(f"'{method.label}' needs calibration text.", "Choose a calibration text.")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return collect(model, windows, observers, reporter, folder=folder)


def _layers(context: DepthContext, method: Method) -> list[int]:
    """Indices of the layers that stay, ascending."""
    if not context.count:
        return list(range(context.architecture.layers))
    order = load_function(method.entry)(context) if method.family == "depth" else block_influence(context)
    gone = set(order[: context.count])
    return [i for i in range(context.architecture.layers) if i not in gone]


def _describe(
    report: PruneReport, model: PreTrainedModel, architecture: Architecture, keep: Keep, prune: Prune, method: Method
) -> None:
    """Facts and sentences on what went and what is left."""
    everything = range(architecture.layers)
    before = count_parameters(model, architecture, dict(architecture.sizes), everything)
    after = count_parameters(model, architecture, keep.sizes(architecture), keep.layers)
    gone = [i for i in everything if i not in keep.layers]
    report.facts |= {
        "layers": len(keep.layers),
        "head_dim": architecture.head_dim,
        **{("intermediate" if a == "neurons" else a): n for a, n in keep.sizes(architecture).items()},
        "layers_kept": keep.layers,
        "layers_removed": gone,
        "parameters_before": before.total,
        "block_parameters_removed": 1 - after.blocks / before.blocks,
        "parameters_removed": 1 - after.total / before.total,
    }
    if gone:
        report.note(f"Removed layer{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} (counted from 0).")
    changed = [
        f"{_PLAIN[axis]} {architecture.sizes[axis]} to {size}"
        for axis, size in keep.sizes(architecture).items()
        if size != architecture.sizes[axis]
    ]
    if changed:
        report.note(
            f"Changed {', '.join(changed)}; every layer has the same sizes, because plain transformers reads one "
            "size for all."
        )
    report.note(
        f"{percent(1 - after.blocks / before.blocks, 1)} of the parameters inside the layers and "
        f"{percent(1 - after.total / before.total, 1)} of all parameters are gone."
    )


_PLAIN = {
    "hidden": "hidden size",
    "neurons": "MLP neurons",
    "heads": "query heads",
    "kv_heads": "key-value heads",
    "experts": "experts",
}
