"""The break-even: the crossing by hand, and a real measurement's shape (never its speed)."""

from __future__ import annotations

import pytest
import torch

from core.base.progress import InMemoryReporter
from core.engine.measure.breakeven import break_even, crossing


def test_the_crossing_lies_between_the_points_around_it() -> None:
    points = [(0.5, 5.0), (0.8, 2.0), (0.9, 1.0), (0.99, 0.2)]
    assert crossing(points, 1.5) == pytest.approx(0.85)
    assert crossing(points, 1.0) == pytest.approx(0.9)
    assert crossing(points, 0.1) is None
    assert crossing(points, 9.0) == 0.5
    assert crossing([], 1.0) is None


def test_one_lucky_point_is_no_break_even() -> None:
    assert crossing([(0.5, 0.9), (0.8, 2.0), (0.9, 1.0), (0.99, 0.5)], 1.0) == pytest.approx(0.9)


def test_every_sparsity_is_timed_beside_the_dense_product() -> None:
    found = break_even(64, 96, InMemoryReporter(), tokens=2, sparsities=(0.9, 0.5), repeats=3)
    assert [s for s, _ in found.sparse_ms] == [0.5, 0.9] and all(ms > 0 for _, ms in found.sparse_ms)
    assert found.dense_ms > 0 and (found.sparsity is None or 0.5 <= found.sparsity <= 0.9)
    assert found.settings["threads"] == torch.get_num_threads() and "contended" in found.settings
