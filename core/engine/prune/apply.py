"""Zeroes weights of a model in place, and puts the dense ones back from their file."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from core.base.errors import RetortError
from core.base.functions import load_function
from core.base.progress import Reporter
from core.catalogue.weight_files import weight_files
from core.engine.models.matrices import Matrix, family, prunable, unknown_parts
from core.engine.models.packed import count_nonzero
from core.engine.prune.allocation import Curves, allocate
from core.engine.prune.criteria import magnitude
from core.engine.prune.masks import smallest_in_groups, smallest_overall, smallest_per_row
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import ModuleStatistics, Statistics
from core.recipe.recipe import Prune, n_of_m
from core.registry.formatting import percent
from core.registry.methods import METHODS, Method

_WORTH_SAYING = 0.005  # share of weights that were zero before


def prune_weights(
    model: nn.Module,
    prune: Prune,
    statistics: Statistics | None,
    reporter: Reporter,
    curves: Curves | None = None,
) -> PruneReport:
    """Prunes the weights of every matrix in place, all by statistics of the dense model (mode joint).

    Args:
        model: a dense model.
        statistics: needed where the method or the allocation is calibrated.
        curves: the measured loss change of each layer, for allocation 'sensitivity' (`sensitivity.curves`).

    Returns:
        What was done: see `facts_of`.

    Raises:
        RetortError: the method is not one that zeroes weights, or needs statistics that are not there.
    """
    chosen = weight_method(prune)
    if (chosen.calibrated or prune.allocation == "owl") and statistics is None:
        raise RetortError(
            f"{chosen.label} with {prune.allocation} allocation needs calibration statistics.",
            "Add a calibration to the recipe, or choose magnitude with uniform allocation.",
        )
    matrices, report = prunable(model), PruneReport()
    sparsities = allocate(matrices, prune, statistics, report, curves)
    last = -1
    for i, matrix in enumerate(matrices):
        if matrix.block_index != last:
            last = matrix.block_index
            reporter.checkpoint()
            reporter.progress(i, len(matrices), f"Pruning layer {last + 1}.")
        if matrix.name in sparsities:
            stats = statistics.of(matrix) if statistics is not None and chosen.calibrated else None
            prune_matrix(matrix, prune, sparsities[matrix.name], stats, report)
    finish_report(report, model, matrices, prune)
    return report


def prune_matrix(
    matrix: Matrix, prune: Prune, sparsity: float, stats: ModuleStatistics | None, report: PruneReport
) -> None:
    """Prunes one matrix in place to `sparsity`. Weights that are zero already stay zero."""
    chosen, weight = weight_method(prune), matrix.read()  # (out, in)
    device = weight.device
    if stats is not None:
        stats = stats.to(device)
        if stats.tokens == 0:
            report.note(f"No calibration token reached {matrix.name}: it was pruned by magnitude.")
    _note_leftover(matrix, prune, report)
    dead = weight == 0
    report.facts["zeros_before"] = report.facts.get("zeros_before", 0) + int(dead.sum())
    entry: Callable[..., Tensor] = load_function(chosen.entry)
    if chosen.kind == "solver" and stats is not None and stats.tokens:
        matrix.write(entry(weight, stats, sparsity, prune.pattern, report))
        return
    score = entry if chosen.kind == "score" else magnitude
    scores = score(weight, stats, generator_of(prune, matrix)).to(device)
    scores = scores.masked_fill(dead, -1.0)  # zeros first: they are part of what was asked for
    matrix.stored.masked_fill_(mask_of(scores, chosen, prune, sparsity), 0)


def mask_of(scores: Tensor, chosen: Method, prune: Prune, sparsity: float) -> Tensor:
    """True where a weight goes, by the pattern and by what the method compares scores with."""
    if prune.pattern != "unstructured":
        return smallest_in_groups(scores, *n_of_m(prune.pattern))
    if chosen.compare == "matrix":
        return smallest_overall(scores, int(scores.numel() * sparsity))
    return smallest_per_row(scores, int(scores.shape[1] * sparsity))


def weight_method(prune: Prune) -> Method:
    """The method of a weight pruning step; RetortError for one that removes parts."""
    chosen = METHODS[prune.method]
    if chosen.structured:
        raise RetortError(f"{chosen.label} removes parts and does not zero weights.", "Choose a weight method.")
    return chosen


def generator_of(prune: Prune, matrix: Matrix) -> torch.Generator:
    """Random numbers that depend on the seed and the matrix only, whatever else is pruned."""
    digest = hashlib.sha256(f"{prune.seed}:{matrix.name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def finish_report(report: PruneReport, model: nn.Module, matrices: Sequence[Matrix], prune: Prune) -> None:
    """Adds `facts_of` the pruned model, and a note where weights were zero before."""
    report.facts |= facts_of(model, matrices, prune)
    before = report.facts.get("zeros_before", 0) / report.facts["prunable_parameters"]
    if before >= _WORTH_SAYING:
        report.note(
            f"{percent(before, 1)} of the weights were zero before pruning; they stayed zero and count as pruned."
        )
    unknown = unknown_parts(model)
    if unknown:
        report.note(f"{', '.join(unknown)} stayed dense: Retort does not know how this model stores them.")
    if prune.protect:
        report.note(f"Layers {', '.join(map(str, sorted(set(prune.protect))))} were protected and stayed dense.")


@torch.no_grad()
def facts_of(model: nn.Module, matrices: Sequence[Matrix], prune: Prune) -> dict[str, Any]:
    """Zeros by three denominators, counted in the model as it now is. Shares are from 0 to 1.

    `nominal_sparsity` is what was asked of the matrices; `sparsity_pruned` what the prunable matrices
    have (protected layers included); `sparsity_model` counts every parameter, tied ones once;
    `sparsity_by_matrix` is `{layer: {part: share}}`, experts merged.
    """
    counts: dict[str, dict[str, list[int]]] = {}
    for matrix in matrices:
        zeros, size = matrix.numel() - count_nonzero(matrix.stored), matrix.numel()
        count = counts.setdefault(str(matrix.block_index), {}).setdefault(family(matrix), [0, 0])
        count[0] += zeros
        count[1] += size
    pruned = [c for layer in counts.values() for c in layer.values()]
    parameters = list(model.parameters())  # tied ones once
    total = sum(p.numel() for p in parameters)
    zeros_model = total - sum(count_nonzero(p) for p in parameters)
    return {
        "nominal_sparsity": prune.nominal,
        "sparsity_pruned": sum(z for z, _ in pruned) / sum(n for _, n in pruned),
        "sparsity_model": zeros_model / total,
        "prunable_parameters": sum(n for _, n in pruned),
        "parameters": total,
        "nonzero_parameters": total - zeros_model,
        "sparsity_by_matrix": {i: {k: z / n for k, (z, n) in layer.items()} for i, layer in counts.items()},
        "pattern": prune.pattern,
        "mode": prune.mode,
        "allocation": prune.allocation,
    }


@torch.no_grad()
def restore_dense(model: nn.Module, folder: Path, names: Sequence[str] | None = None) -> None:
    """Puts the weights of the safetensors files in `folder` back into `model`, one tensor at a time.

    Only the matrices pruning may have touched (or those called `names`) are read, so that no second copy
    of the model is held. Where transformers stores tensors under other names or in other shapes than it
    holds them (fused experts), it loads the folder once more and its tensors are copied.

    Raises:
        RetortError: the files hold another model.
    """
    where, prefixes = tensor_files(folder), _prefixes(model)
    todo: dict[Path, list[tuple[str, Tensor]]] = {}
    other: dict[str, Tensor] = {}
    for name, target in _pruned_parameters(model, set(names) if names is not None else None):
        stored = next((p for p in (name, *(f(name) for f in prefixes)) if p in where), None)
        if stored is None:
            other[name] = target
        else:
            todo.setdefault(where[stored], []).append((stored, target))
    for path, tensors in todo.items():
        with safe_open(path, framework="pt") as file:
            for stored, target in tensors:
                _copy(target, file.get_tensor(stored), stored)
    if other:
        _copy_through_transformers(model, folder, other)


def _copy_through_transformers(model: Any, folder: Path, targets: Mapping[str, Tensor]) -> None:
    """The targets' tensors by way of a second, whole load of the folder."""
    loaded, info = type(model).from_pretrained(
        folder,
        config=copy.deepcopy(model.config),
        dtype=next(iter(targets.values())).dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    absent = set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}
    fresh = dict(loaded.named_parameters())
    for name, target in targets.items():
        if name in absent:
            raise RetortError(
                f"The matrix {name} is not in the model's files, so the dense weights cannot be put back.",
                "Load the dense model again.",
            )
        _copy(target, fresh[name], name)


def _copy(target: Tensor, source: Tensor, name: str) -> None:
    if target.shape != source.shape:
        raise RetortError(
            f"The matrix {name} has another shape in the model's files, so the dense weights cannot be put back.",
            "Load the dense model again.",
        )
    target.copy_(source)


def tensor_files(folder: Path) -> dict[str, Path]:
    """Which safetensors file of the folder holds each tensor."""
    found: dict[str, Path] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            found |= dict.fromkeys(file.keys(), path)
    return found


def _pruned_parameters(model: nn.Module, wanted: set[str] | None) -> list[tuple[str, Tensor]]:
    """The parameters (whole, as stored) that hold the prunable matrices, by their names in the model."""
    held = {id(getattr(m.module, m.parameter)) for m in prunable(model) if wanted is None or m.name in wanted}
    return [(name, p) for name, p in model.named_parameters() if id(p) in held]


def _prefixes(model: nn.Module) -> list[Callable[[str], str]]:
    """How a checkpoint of the base model, or of one with a head, names the same tensors."""
    base = getattr(model, "base_model_prefix", "")
    return [lambda name: name.removeprefix(f"{base}."), lambda name: f"{base}.{name}"]


def _note_leftover(matrix: Matrix, prune: Prune, report: PruneReport) -> None:
    if prune.pattern == "unstructured":
        return
    _, m = n_of_m(prune.pattern)
    left = matrix.shape[1] % m
    if left:
        report.note(
            f"The last {left} input column{'s' if left > 1 else ''} of {family(matrix)} stayed dense: "
            f"{matrix.shape[1]} inputs are not a multiple of {m}."
        )
