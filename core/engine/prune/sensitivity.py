"""How much the loss changes when one part of one layer is pruned and everything else stays dense."""

from __future__ import annotations

import json
import statistics as stats
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.base import json_io
from core.base.durable_files import write
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.models.matrices import Matrix, family, prunable
from core.engine.prune.allocation import Curves
from core.engine.prune.apply import prune_matrix, weight_method
from core.engine.prune.prefix import Prefix
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import Statistics
from core.recipe.recipe import Prune

Evaluate = Callable[[], list[float]]
"""The loss (nats per token) of each evaluation window of the model as it is now, in a fixed order."""


@dataclass(frozen=True)
class Cell:
    """One square of the heatmap.

    Attributes:
        part: the part of the block that was pruned (`mlp.down_proj`), or None for the whole layer.
        change: the mean loss change in nats per token, over the same windows as the dense model.
        samples: the loss change of each window, for a paired interval.
        parameters: weights in what was pruned.
    """

    layer: int
    part: str | None
    sparsity: float
    change: float
    samples: list[float]
    parameters: int

    @property
    def place(self) -> tuple[int, str | None, float]:
        return self.layer, self.part, self.sparsity


def sensitivity(
    model: nn.Module,
    prune: Prune,
    sparsities: Sequence[float],
    statistics: Statistics | None,
    evaluate: Evaluate,
    path: Path,
    reporter: Reporter,
    parts: bool = True,
    identity: dict[str, Any] | None = None,
) -> Iterator[Cell]:
    """Measures cell after cell and yields each, those found in `path` included; the model is dense in between.

    Args:
        prune: method, pattern and seed; its own sparsity does not count, its protected layers are left out.
        sparsities: from 0 up to but not including 1; with an N:M pattern they are its sparsity alone.
        evaluate: called on the changed model; always the same windows.
        path: a JSON file that is rewritten after every cell, so that an interrupted run goes on where it was.
        parts: measure each part of a layer as well as the whole layer.
        identity: what else the numbers depend on (model, calibration, evaluation); a file with another
            identity is started afresh.

    Raises:
        RetortError: the method needs statistics that are not there, or a loss is not finite.
    """
    chosen = weight_method(prune)
    if chosen.calibrated and statistics is None:
        raise RetortError(f"{chosen.label} needs calibration statistics.", "Calibrate first, or choose magnitude.")
    if prune.pattern != "unstructured":
        sparsities = [prune.nominal]
    asked = {"method": prune.method, "pattern": prune.pattern, "seed": prune.seed, **(identity or {})}
    kept = Kept.open(path, asked)
    todo = [(group, s) for group in _groups(model, prune.protect, parts) for s in sparsities]
    prefix = Prefix(model)
    baseline: list[float] = []
    for done, ((layer, part, matrices), sparsity) in enumerate(todo):
        cell = kept.cells.get((layer, part, sparsity))
        if cell is None:
            reporter.checkpoint()
            reporter.progress(done, len(todo), f"Measuring layer {layer}, {part or 'the whole layer'}.")
            if not baseline:
                with prefix.recording():
                    baseline = evaluate()
            with _pruned(matrices, prune, sparsity, statistics), prefix.skipping(layer):
                losses = evaluate()
            cell = cell_of(layer, part, sparsity, losses, baseline, sum(m.numel() for m in matrices))
            kept.add(cell)
        yield cell
    reporter.progress(len(todo), len(todo), "Sensitivity measured.")


def curves(cells: Sequence[Cell]) -> Curves:
    """Whole-layer loss changes by layer and sparsity, for allocation 'sensitivity'."""
    found: dict[int, dict[float, float]] = {}
    for cell in cells:
        if cell.part is None:
            found.setdefault(cell.layer, {})[cell.sparsity] = cell.change
    return found


def _groups(model: nn.Module, protect: Sequence[int], parts: bool) -> list[tuple[int, str | None, list[Matrix]]]:
    """Whole layers first (the shape of the heatmap is seen early), then their parts, experts merged."""
    layers: dict[int, list[Matrix]] = {}
    pieces: dict[tuple[int, str], list[Matrix]] = {}
    for m in prunable(model):
        if m.block_index not in protect:
            layers.setdefault(m.block_index, []).append(m)
            pieces.setdefault((m.block_index, family(m)), []).append(m)
    whole: list[tuple[int, str | None, list[Matrix]]] = [(i, None, group) for i, group in layers.items()]
    return whole + ([(i, part, group) for (i, part), group in pieces.items()] if parts else [])


def cell_of(
    layer: int, part: str | None, sparsity: float, losses: list[float], baseline: list[float], parameters: int
) -> Cell:
    """The paired loss change of one part.

    Raises:
        RetortError: the loss is not finite.
    """
    samples = [a - b for a, b in zip(losses, baseline, strict=True)]
    change = stats.fmean(samples)
    if change != change or abs(change) == float("inf"):
        raise RetortError(
            f"The loss with layer {layer} changed is not a finite number.",
            "Run again with dtype float32, or at a lower sparsity.",
        )
    return Cell(layer, part, sparsity, change, samples, parameters)


@contextmanager
def _pruned(matrices: list[Matrix], prune: Prune, sparsity: float, statistics: Statistics | None) -> Iterator[None]:
    """The matrices are pruned inside, and bit for bit what they were afterwards."""
    dense = [m.stored.clone() for m in matrices]  # of one layer at most
    calibrated = weight_method(prune).calibrated
    try:
        for m in matrices:
            known = statistics.of(m) if statistics is not None and calibrated else None
            prune_matrix(m, prune, sparsity, known, PruneReport())
        yield
    finally:
        with torch.no_grad():
            for m, weight in zip(matrices, dense, strict=True):
                m.write(weight)


class Kept:
    """The cells in a file that is rewritten after every one."""

    def __init__(self, path: Path, identity: dict[str, Any], cells: list[Cell]) -> None:
        self.path, self.identity = path, identity
        self.cells = {c.place: c for c in cells}

    @classmethod
    def read(cls, path: Path) -> Kept:
        try:
            found = json_io.load(path.read_bytes())
            return cls(path, found["identity"], [Cell(**c) for c in found["cells"]])
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path, {}, [])

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any]) -> Kept:
        kept = cls.read(path)
        return kept if kept.identity == json.loads(json.dumps(identity)) else cls(path, identity, [])

    def add(self, cell: Cell) -> None:
        self.cells[cell.place] = cell
        content = {"identity": self.identity, "cells": [asdict(c) for c in self.cells.values()]}
        write(self.path, json.dumps(content))
