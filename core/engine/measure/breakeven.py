"""From which sparsity on a sparse matrix product is faster than a dense one here: measured, not assumed.

For the comparison of promised and measured: unstructured zeros help speed only with a sparse format, and only beyond
the break-even. The format is PyTorch's CSR, the one sparse format ordinary PyTorch multiplies with on a CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.measure.clock import OtherLoad, elapsed_ms

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class BreakEven:
    """Milliseconds of one product of a (rows, columns) matrix with `tokens` vectors, dense and sparse."""

    rows: int
    columns: int
    tokens: int
    dense_ms: float
    sparse_ms: tuple[tuple[float, float], ...]
    """(sparsity, milliseconds), ascending."""
    sparsity: float | None
    """Where the two are equally fast; None where the sparse product never was faster."""
    settings: dict[str, Any]


def break_even(
    rows: int,
    columns: int,
    reporter: Reporter,
    *,
    tokens: int = 1,
    sparsities: Sequence[float] = SPARSITIES,
    repeats: int = 15,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> BreakEven:
    """Measures dense and CSR products in turns, for each of `sparsities`.

    Args:
        tokens: 1 as in decoding, more as in reading a prompt.
        dtype: of both products.
    Raises:
        RetortError: this PyTorch has no CSR product in `dtype`.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    ranks = torch.rand(rows, columns, generator=generator)
    x = torch.randn(columns, tokens, generator=generator).to(dtype)  # (columns, tokens)
    dense = weight.to(dtype)
    matrices: dict[float, Tensor] = {}
    for sparsity in sorted(sparsities):
        with warnings.catch_warnings():  # PyTorch calls CSR a beta feature on every first use
            warnings.simplefilter("ignore", UserWarning)
            matrices[sparsity] = (weight * (ranks >= sparsity)).to(dtype).to_sparse_csr()
    try:
        for matrix in (dense, *matrices.values()):
            torch.mm(matrix, x)  # warm-up; each shape plans its kernel once
    except RuntimeError as error:
        raise RetortError(
            f"PyTorch has no sparse product in {str(dtype).removeprefix('torch.')} on this machine.",
            "Measure the break-even in float32.",
        ) from error
    works: dict[float, Callable[[], Any]] = {-1.0: lambda: torch.mm(dense, x)}
    works |= {s: (lambda m=m: torch.mm(m, x)) for s, m in matrices.items()}  # type: ignore[misc]
    times: dict[float, list[float]] = {s: [] for s in works}
    with OtherLoad() as load, torch.inference_mode():
        for turn in range(repeats):
            reporter.checkpoint()
            for name, work in works.items():
                times[name].append(elapsed_ms(work, torch.device("cpu")))
            reporter.progress(turn + 1, repeats, f"Timed sparse products, round {turn + 1} of {repeats}.")
    medians = {s: float(np.median(t)) for s, t in times.items()}
    dense_ms = medians.pop(-1.0)
    points = tuple(sorted(medians.items()))
    settings = {
        "format": "PyTorch CSR",
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        **load.settings(),
    }
    return BreakEven(rows, columns, tokens, dense_ms, points, crossing(points, dense_ms), settings)


def crossing(points: Sequence[tuple[float, float]], dense_ms: float) -> float | None:
    """Sparsity from which on the sparse times stay at or below `dense_ms`, between points by a straight line.

    `points` are (sparsity, ms), ascending. None where the sparsest one is still slower.
    """
    if not points or points[-1][1] > dense_ms:
        return None
    for (s0, t0), (s1, t1) in zip(reversed(points[:-1]), reversed(points[1:]), strict=True):
        if t0 > dense_ms:
            return s0 + (s1 - s0) * (t0 - dense_ms) / (t0 - t1)
    return points[0][0]
