"""A student made from its teacher: fewer layers, each perhaps narrower, starting from the teacher's weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from core.base.errors import Impossible
from core.base.progress import Reporter
from core.engine.models.architectures import adapter_for
from core.engine.models.load import Loaded
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import Statistics
from core.engine.prune.structured import prune_structure
from core.engine.prune.surgery import Keep, cut
from core.recipe.distil import Design
from core.recipe.recipe import Prune, Sizes, Target

_DEPTH, _WIDTH, _EXPERTS = "block_influence", "width_activations", "reap"


@dataclass
class Student:
    """A model to be taught, and the teacher's index of each of its layers (None: it was not made from layers)."""

    loaded: Loaded
    layers_kept: list[int] | None
    report: PruneReport


def spread(layers: int, of: int) -> list[int]:
    """`layers` of `of` indices, evenly spread, first and last included: 6 of 12 are 0, 2, 4, 7, 9, 11 (DistilBERT)."""
    if layers == 1:
        return [0]
    return [round(i * (of - 1) / (layers - 1)) for i in range(layers)]


def design_student(
    teacher: Loaded, design: Design, statistics: Statistics | None, windows: Tensor | None, reporter: Reporter
) -> Student:
    """Builds the designed student; the teacher is not changed.

    Args:
        statistics, windows: for what is chosen by importance (see `prune_structure`).
    Raises:
        RetortError: more layers than the teacher has, unknown architecture, or sizes that cannot be built.
    """
    architecture = adapter_for(teacher.model)
    wanted = design.layers or architecture.layers
    if wanted > architecture.layers:
        raise Impossible(
            f"The student should have {wanted} layers, and the teacher has {architecture.layers}.",
            f"Ask for {architecture.layers} layers or fewer.",
        )
    report = PruneReport()
    kept = list(range(architecture.layers))
    loaded = teacher
    for method, sizes in _narrowing(design):
        loaded = _pruned(loaded, method, sizes, statistics if loaded is teacher else None, windows, reporter, report)
    if wanted < architecture.layers:
        if design.initialise == "importance":
            loaded = _pruned(loaded, _DEPTH, Sizes(layers=wanted), None, windows, reporter, report)
            kept = list(report.facts["layers_kept"])
        else:
            kept = spread(wanted, architecture.layers)
            with torch.no_grad():
                loaded = replace(loaded, model=cut(loaded.model, adapter_for(loaded.model), Keep(kept)))
            report.facts |= {"layers": wanted, "layers_kept": kept}
            report.note(f"Starts from the teacher's layers {', '.join(map(str, kept))} (counted from 0).")
    if loaded is teacher:
        loaded = replace(teacher, model=copy.deepcopy(teacher.model))
    if design.initialise == "random":
        _reinitialise(loaded.model)
        report.note("Starts from random weights: expect to need far more text.")
        return Student(loaded, None, report)
    return Student(loaded, kept, report)


def _narrowing(design: Design) -> list[tuple[str, Sizes]]:
    """The pruning steps that bring a model to the designed sizes: experts first, then units."""
    if design.sizes is None:
        return []
    experts, others = design.sizes.experts, design.sizes.model_copy(update={"experts": None})
    steps = [] if experts is None else [(_EXPERTS, Sizes(experts=experts))]
    return [*steps, (_WIDTH, others)] if any(size is not None for _, size in others) else steps


def _pruned(
    loaded: Loaded,
    method: str,
    sizes: Sizes,
    statistics: Statistics | None,
    windows: Tensor | None,
    reporter: Reporter,
    report: PruneReport,
) -> Loaded:
    step = Prune(method=method, target=Target(sizes=sizes))
    model, found = prune_structure(loaded, step, statistics, windows, reporter)
    report.facts |= found.facts
    for sentence in found.notes:
        report.note(sentence)
    return replace(loaded, model=model)


def _reinitialise(model: Any) -> None:
    """Random weights of the model's own kind, drawn with seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = type(model)(model.config)
    model.load_state_dict(fresh.state_dict())


def kept_layers(facts: Sequence[dict[str, Any]]) -> list[int] | None:
    """The dense model's index of each layer that is left after several pruning steps, from their facts in order.

    None where no step removed layers.
    """
    kept: list[int] | None = None
    for step in facts:
        now = step.get("layers_kept")
        if now is not None:
            kept = list(now) if kept is None else [kept[i] for i in now]
    return kept
