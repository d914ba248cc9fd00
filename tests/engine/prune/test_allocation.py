"""Sparsity over the layers: the mean is kept, bounds hold, and cheap layers give more."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.matrices import prunable
from core.engine.prune.allocation import least_loss, owl
from core.engine.prune.apply import prune_weights
from core.engine.prune.statistics import collect, weight_observers
from core.recipe.recipe import Prune
from tests.engine.prune.tiny import tiny, windows

LAYERS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 1), min_size=n, max_size=n), st.lists(st.floats(1, 1e6), min_size=n, max_size=n)
    )
)


@settings(max_examples=80, deadline=None)
@given(LAYERS, st.floats(0, 0.99))
def test_owl_keeps_the_mean_and_stays_between_0_and_1(layers: tuple[list[float], list[float]], s: float) -> None:
    outliers, sizes = np.array(layers[0]), np.array(layers[1])
    found = owl(outliers, sizes, s)
    assert np.average(found, weights=sizes) == pytest.approx(s, abs=1e-6)
    assert found.min() >= -1e-9 and found.max() <= 1 + 1e-9
    order = np.argsort(outliers)
    assert (np.diff(found[order]) <= 1e-9).all()  # more outliers, less sparse


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(1, 1e6)), min_size=1, max_size=8),
    st.floats(0, 0.7),
)
def test_least_loss_keeps_the_mean_and_the_spread(layers: list[tuple[float, float, float]], s: float) -> None:
    curves = [{0.4: a, 0.7: a + b} for a, b, _ in layers]
    sizes = np.array([n for _, _, n in layers])
    found = least_loss(curves, sizes, s)
    assert np.average(found, weights=sizes) == pytest.approx(s, abs=1e-6)
    assert found.min() >= s - 0.1 - 1e-9 and found.max() <= s + 0.1 + 1e-9


def test_least_loss_is_the_optimum_of_a_fine_search() -> None:
    curves = [{0.4: 0.1, 0.5: 0.3, 0.6: 0.9}, {0.4: 0.05, 0.5: 0.1, 0.6: 0.2}]
    sizes = np.array([3.0, 2.0])
    found = least_loss(curves, sizes, 0.5)

    def loss(shares: list[float]) -> float:
        return sum(np.interp(x, [0, *c], [0, *c.values()]) for x, c in zip(shares, curves, strict=True))

    best = min(loss([a, (2.5 - 3 * a) / 2]) for a in np.linspace(0.5 - 0.1 * 2 / 3, 0.5 + 0.1 * 2 / 3, 201))
    assert loss(list(found)) == pytest.approx(best, abs=1e-6)
    assert found[0] < 0.5 < found[1]


def test_unmeasured_sparsities_are_refused() -> None:
    with pytest.raises(RetortError, match="measured up to 50 %"):
        least_loss([{0.5: 1.0}], np.array([1.0]), 0.7)


def test_pruning_by_owl_and_by_sensitivity_keeps_the_mean(tmp_path: Path) -> None:
    model, reporter = tiny("llama"), InMemoryReporter()
    for m in prunable(model):
        m.write(m.read() ** (1 + 2 * (m.block_index == 1)) + 1e-6)
    observers = weight_observers(model, {"input_norms"}, reporter)
    statistics = collect(model, windows(), observers, reporter, folder=tmp_path)
    report = prune_weights(model, Prune(method="wanda", sparsity=0.7, allocation="owl"), statistics, InMemoryReporter())
    shares = report.facts["sparsity_by_layer"]
    assert len(set(shares.values())) > 1 and np.mean(list(shares.values())) == pytest.approx(0.7)
    assert report.facts["sparsity_pruned"] == pytest.approx(0.7, abs=0.03)

    curves = {0: {0.5: 0.1, 0.8: 0.2}, 1: {0.5: 1.0, 0.8: 3.0}, 2: {0.5: 0.1, 0.8: 0.3}}
    step = Prune(method="magnitude", sparsity=0.5, allocation="sensitivity")
    report = prune_weights(tiny("llama"), step, None, InMemoryReporter(), curves)
    assert report.facts["sparsity_by_layer"] == pytest.approx({"0": 0.6, "1": 0.4, "2": 0.5})
    with pytest.raises(RetortError, match="needs the measured loss change"):
        prune_weights(tiny("llama"), step, None, InMemoryReporter())
    with pytest.raises(RetortError, match="needs calibration statistics"):
        prune_weights(
            tiny("llama"), Prune(method="magnitude", sparsity=0.5, allocation="owl"), None, InMemoryReporter()
        )
