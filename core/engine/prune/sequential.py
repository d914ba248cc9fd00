"""Pruning as published: each block's statistics are gathered on what the pruned blocks before it give."""

from __future__ import annotations

import tempfile
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from core.base.progress import Reporter
from core.engine.models.matrices import prunable
from core.engine.prune.allocation import Curves, allocate
from core.engine.prune.apply import finish_report, prune_matrix, weight_method
from core.engine.prune.linear_inputs import LinearInputs
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import Statistics, module_statistics, save_block
from core.engine.prune.stream import BlockStream
from core.recipe.recipe import Prune


def prune_sequential(
    model: PreTrainedModel,
    prune: Prune,
    windows: Tensor,
    reporter: Reporter,
    batch: int = 4,
    statistics: Statistics | None = None,
    curves: Curves | None = None,
) -> PruneReport:
    """Prunes the weights of every matrix in place, block by block (mode sequential).

    All windows go through a block once to gather its statistics, it is pruned, and they go through it
    again, so that the next block sees what it will see in the pruned model.

    Args:
        windows: token ids `(sequences, length)`.
        statistics: of the dense model; only for an allocation that needs them (OWL).
        curves: for allocation 'sensitivity'.

    Raises:
        RetortError: as `prune_weights` and `BlockStream`.
    """
    chosen = weight_method(prune)
    matrices, report = prunable(model), PruneReport()
    sparsities = allocate(matrices, prune, statistics, report, curves)
    if not chosen.calibrated:
        report.note(f"{chosen.label} looks at no activations: the sequential mode gives what the joint mode gives.")
        for matrix in matrices:
            if matrix.name in sparsities:
                reporter.checkpoint()
                prune_matrix(matrix, prune, sparsities[matrix.name], None, report)
        finish_report(report, model, matrices, prune)
        return report
    stream = BlockStream(model, windows, batch)
    count = len(stream.blocks)
    observers = [LinearInputs(model, reporter, hessian="hessian" in chosen.needs)]
    with tempfile.TemporaryDirectory(prefix="retort-") as folder:
        path = Path(folder) / "block.safetensors"
        for index in range(count):
            reporter.progress(index, count, f"Calibrating and pruning layer {index + 1} of {count}.")
            reporter.checkpoint()
            here = [m for m in matrices if m.block_index == index and m.name in sparsities]
            if here:
                stream.advance(index, observers, reporter, keep=False)
                save_block(path, observers)
            for matrix in here:
                stats = module_statistics(path, matrix.part)
                prune_matrix(matrix, prune, sparsities[matrix.name], stats, report)
            if index + 1 < count:
                stream.advance(index, (), reporter)
    finish_report(report, model, matrices, prune)
    return report
