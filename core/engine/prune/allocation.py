"""How the sparsity asked for is spread over the layers; the mean, weighted by parameters, is always kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from core.base.errors import Impossible, RetortError
from core.engine.models.matrices import Matrix
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.statistics import Statistics
from core.recipe.recipe import Prune
from core.registry.formatting import percent

Curves = Mapping[int, Mapping[float, float]]
"""For each layer, the loss change measured at some sparsities with every other layer dense."""

OWL_M = 5.0
OWL_LAMBDA = 0.08
SPREAD = 0.1
"""How far a sensitivity-based allocation may move a layer from the mean: losses of layers pruned alone do
not add up exactly, so that large moves would trust them too far."""

_Array = NDArray[np.float64]


def allocate(
    matrices: Sequence[Matrix],
    prune: Prune,
    statistics: Statistics | None,
    report: PruneReport,
    curves: Curves | None = None,
) -> dict[str, float]:
    """The sparsity of each matrix by name; matrices of protected layers are left out.

    Raises:
        RetortError: every layer is protected, or what the allocation needs is missing.
    """
    layers = by_layer(matrices, prune.protect)
    sizes = np.array([sum(m.numel() for m in group) for group in layers.values()], dtype=np.float64)
    if prune.allocation == "owl":
        if statistics is None:
            raise RetortError("OWL needs calibration statistics.", "Add a calibration, or choose uniform allocation.")
        outliers = np.array([outlier_share(group, statistics) for group in layers.values()])
        shares = owl(outliers, sizes, prune.nominal)
    elif prune.allocation == "sensitivity":
        if curves is None or not set(layers) <= set(curves):
            raise RetortError(
                "A sensitivity-based allocation needs the measured loss change of every layer.",
                "Measure the sensitivity of this model first, or choose uniform allocation.",
            )
        shares = least_loss([curves[i] for i in layers], sizes, prune.nominal)
    else:
        shares = np.full(len(layers), prune.nominal)
    by = {i: float(s) for i, s in zip(layers, shares, strict=True)}
    if prune.allocation != "uniform":
        report.facts["sparsity_by_layer"] = {str(i): s for i, s in by.items()}
    return {m.name: by[i] for i, group in layers.items() for m in group}


def by_layer(matrices: Sequence[Matrix], protect: Sequence[int] = ()) -> dict[int, list[Matrix]]:
    """The matrices of each layer that is not protected.

    Raises:
        RetortError: a protected layer does not exist, or none is left.
    """
    layers: dict[int, list[Matrix]] = {}
    for matrix in matrices:
        layers.setdefault(matrix.block_index, []).append(matrix)
    missing = sorted(set(protect) - set(layers))
    if missing:
        raise Impossible(
            f"The model has no layer {missing[0]} to protect; its layers are 0 to {max(layers)}.",
            "Correct 'protect'.",
        )
    kept = {i: group for i, group in layers.items() if i not in set(protect)}
    if not kept:
        raise Impossible("Every layer is protected, so there is nothing to prune.", "Protect fewer layers.")
    return kept


def outlier_share(layer: Sequence[Matrix], statistics: Statistics, m: float = OWL_M) -> float:
    """D_l: the share of the entries |W_ij| * ||X_j|| of a whole layer that exceed `m` times their mean."""
    total, count, above = 0.0, 0, 0
    for matrix in layer:
        scores = matrix.read().abs_() * statistics.of(matrix).input_norms.to(matrix.stored.device)
        total += float(scores.sum(dtype=torch.float64))
        count += scores.numel()
    for matrix in layer:  # read again rather than held: a layer may be large
        scores = matrix.read().abs_() * statistics.of(matrix).input_norms.to(matrix.stored.device)
        above += int((scores > m * total / count).sum())
    return above / count


def owl(outliers: _Array, sizes: _Array, sparsity: float, lam: float = OWL_LAMBDA) -> _Array:
    """Outlier-weighed layer sparsity. Yin et al. 2023, OWL, section 3.2.

    D is scaled to [0, 2 lam]; density_l = D_l - mean(D) + 1 - s, the mean weighted by `sizes`.

    Args:
        outliers: `(layers,)` D_l.
        sizes: `(layers,)` parameters.

    Returns:
        `(layers,)` sparsities from 0 to 1.
    """
    low, high = float(outliers.min()), float(outliers.max())
    scaled = (outliers - low) / (high - low) * 2 * lam if high > low else np.zeros_like(outliers)
    return 1 - _with_mean(scaled, sizes, 1 - sparsity)


def _with_mean(values: _Array, sizes: _Array, mean: float) -> _Array:
    """`values` plus a constant, kept in [0, 1], so that their weighted mean is `mean`.

    Where nothing has to be cut off this is values - mean(values) + mean; else the constant is bisected.
    """
    exact: _Array = values - np.average(values, weights=sizes) + mean
    if exact.min() >= 0 and exact.max() <= 1:
        return exact
    low, high = -1.0 - float(values.max()), 1.0 - float(values.min())
    for _ in range(100):
        middle = (low + high) / 2
        reached = np.average(np.clip(values + middle, 0, 1), weights=sizes)
        low, high = (middle, high) if reached < mean else (low, middle)
    clipped: _Array = np.clip(values + high, 0, 1)
    return clipped


def least_loss(
    curves: Sequence[Mapping[float, float]], sizes: _Array, sparsity: float, spread: float = SPREAD
) -> _Array:
    """The sparsities whose loss changes have the least sum, if those of single layers added up.

    Each curve is made convex (the lower hull of its points and of (0, 0)) between `sparsity - spread` and
    `sparsity + spread`; pieces of all layers are then taken in order of loss per parameter until the mean
    is reached, which is the exact optimum for convex curves.

    Raises:
        RetortError: a curve was not measured up to `sparsity`.
    """
    reach = min(max(curve) for curve in curves)
    if reach < sparsity:
        raise RetortError(
            f"The sensitivity was measured up to {percent(reach)}, less than the {percent(sparsity)} asked for.",
            "Measure the sensitivity at higher sparsities, or prune less.",
        )
    bottom = max(0.0, sparsity - spread)
    pieces: list[tuple[float, int, float]] = []  # (loss per pruned parameter, layer, width)
    for i, curve in enumerate(curves):
        hull = _hull(curve, bottom, min(sparsity + spread, max(curve)))
        for (s0, l0), (s1, l1) in zip(hull, hull[1:], strict=False):
            pieces.append(((l1 - l0) / ((s1 - s0) * sizes[i]), i, s1 - s0))
    shares: _Array = np.full(len(curves), bottom)
    budget = (sparsity - bottom) * float(sizes.sum())
    for _, i, width in sorted(pieces):
        taken = min(width, budget / sizes[i])
        shares[i] += taken
        budget -= taken * sizes[i]
        if budget <= 0:
            break
    return shares


def _hull(curve: Mapping[float, float], low: float, high: float) -> list[tuple[float, float]]:
    """The lower convex hull of a curve between two sparsities, as points in order."""
    known = sorted({0.0: 0.0, **curve}.items())
    xs, ys = [x for x, _ in known], [y for _, y in known]
    inner = [x for x in xs if low < x < high]
    points = [(x, float(np.interp(x, xs, ys))) for x in (low, *inner, high)]
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-1][0]) >= (y - hull[-1][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    return hull
