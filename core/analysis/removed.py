"""How much of a model is gone: zeros among the weights a method may prune, or the share of the parameters taken out.

And where the original stands on figures that were only taken of what was made from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.promised_vs_measured import Measured, find, sparsity_of
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.registry.metrics import metric

REMOVED = "removed"
BY_DEFINITION = {"loss_change": 0.0, "kl_to_teacher": 0.0, "top1_agreement": 100.0}
"""What the original itself has of figures that compare with it."""
NEEDS = ("parameters", "sparsity_pruned")
"""The figures it follows from."""


def of_original(metric_id: str) -> Measurement | None:
    """The original's own place among figures that compare with it; None of any other figure."""
    if metric_id not in BY_DEFINITION:
        return None
    unit, value = metric(metric_id).unit, BY_DEFINITION[metric_id]
    return Measurement(metric=metric_id, value=value, unit=unit)


def removed(candidate: Measured, dense: Measured | None) -> Measurement | None:
    """The share that is gone, in percent; None where neither was counted.

    Of a model with fewer parameters than the original, the share of all its parameters; of one that only has zeros,
    the sparsity of the pruned matrices, as it was asked for; of both, what neither left.
    """
    mine = find(candidate, "parameters")
    original = None if dense is None else find(dense, "parameters")
    zeros = sparsity_of(candidate)
    if zeros is None and (mine is None or original is None or not original.value > 0):
        return None
    left = 1.0
    if mine is not None and original is not None and original.value > 0:
        left = min(1.0, mine.value / original.value)
    if zeros is not None:
        left *= 1.0 - zeros.value / 100.0
    return Measurement(metric=REMOVED, value=100.0 * (1.0 - left), unit="%")


def with_derived(results: Sequence[Result]) -> list[Result]:
    """The candidates of a study with the amount removed, and the original with its place among figures beside it."""
    dense = next((r for r in results if r.baseline), None)
    compared = {m.metric for r in results for m in r.measurements} & set(BY_DEFINITION)
    found = []
    for r in results:
        more = [removed(r, dense), *(of_original(m) for m in sorted(compared) if r.baseline)]
        new = [m for m in more if m is not None and find(r, m.metric) is None]
        found.append(r.model_copy(update={"measurements": [*r.measurements, *new]}))
    return found
