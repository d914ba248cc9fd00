"""What callers may rely on: seeds, edge cases, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.analysis.statistics import bootstrap_mean, mcnemar, paired_bootstrap, resampled_means


def test_the_same_samples_always_give_the_same_interval() -> None:
    samples = np.random.default_rng(0).normal(size=40)
    assert bootstrap_mean(samples) == bootstrap_mean(samples)
    assert bootstrap_mean(samples) != bootstrap_mean(samples, seed=1)


def test_one_sample_has_no_interval_and_equal_samples_a_certain_one() -> None:
    alone = bootstrap_mean([2.5])
    assert alone.value == 2.5 and math.isnan(alone.low) and math.isnan(alone.high)
    assert tuple(bootstrap_mean([2.5, 2.5, 2.5])) == (2.5, 2.5, 2.5)


def test_columns_share_their_draws_so_differences_are_paired() -> None:
    values = np.random.default_rng(2).normal(size=(30, 2))
    together = resampled_means(values)
    alone = resampled_means(values[:, 0] - values[:, 1])
    assert together[:, 0] - together[:, 1] == pytest.approx(alone, abs=1e-12)


def test_chunks_of_resamples_do_not_change_the_means(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=30)
    whole = resampled_means(values)
    monkeypatch.setattr("core.analysis.statistics._CHUNK_NUMBERS", 700)
    assert resampled_means(values) == pytest.approx(whole, abs=1e-12)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot pair 3"):
        paired_bootstrap([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="cannot pair 2"):
        mcnemar([1, 0], [1])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])
