"""Masks against plain sorting, on whatever scores hypothesis comes up with."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from core.engine.prune.masks import smallest_in_groups, smallest_overall, smallest_per_row

# few distinct values, so that ties are the rule
SCORES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from([0, 1, 2, 3.5]))
QUICK = settings(max_examples=60, deadline=None)


def stable_lowest(row: np.ndarray, k: int) -> np.ndarray:
    mask = np.zeros(len(row), dtype=bool)
    mask[np.argsort(row, kind="stable")[:k]] = True
    return mask


@QUICK
@given(SCORES, st.floats(0, 0.999))
def test_rows(scores: np.ndarray, sparsity: float) -> None:
    k = int(scores.shape[1] * sparsity)
    expected = np.stack([stable_lowest(row, k) for row in scores])
    assert np.array_equal(smallest_per_row(torch.from_numpy(scores), k).numpy(), expected)


@QUICK
@given(SCORES, st.floats(0, 0.999))
def test_whole_matrix(scores: np.ndarray, sparsity: float) -> None:
    k = int(scores.size * sparsity)
    expected = stable_lowest(scores.ravel(), k).reshape(scores.shape)
    assert np.array_equal(smallest_overall(torch.from_numpy(scores), k).numpy(), expected)


@QUICK
@given(SCORES, st.sampled_from([(1, 2), (2, 4), (4, 8), (1, 3), (5, 20)]))
def test_groups(scores: np.ndarray, pattern: tuple[int, int]) -> None:
    n, m = pattern
    expected = np.zeros(scores.shape, dtype=bool)
    for r in range(scores.shape[0]):
        for start in range(0, scores.shape[1] - m + 1, m):
            expected[r, start : start + m] = stable_lowest(scores[r, start : start + m], m - n)
    assert np.array_equal(smallest_in_groups(torch.from_numpy(scores), n, m).numpy(), expected)


@QUICK
@given(arrays(np.float32, (3, 40), elements=st.floats(0, 2.0**100, width=32)), st.integers(0, 40))
def test_any_magnitudes(scores: np.ndarray, k: int) -> None:
    expected = np.stack([stable_lowest(row, k) for row in scores])
    assert np.array_equal(smallest_per_row(torch.from_numpy(scores), k).numpy(), expected)
    half = torch.from_numpy(scores).to(torch.bfloat16)  # the path without numpy
    expected = np.stack([stable_lowest(row, k) for row in half.float().numpy()])
    assert np.array_equal(smallest_per_row(half, k).numpy(), expected)
