"""SparseGPT's corners: nothing to do, dead inputs, factorisations that fail, groups across blocks."""

import numpy as np
import pytest
import torch

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.prune.linear_inputs import DAMPING, LinearInputs, inverse_cholesky
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.sparsegpt import sparsegpt
from core.engine.prune.statistics import ModuleStatistics
from tests.engine.prune.tiny import tiny


def statistics(columns: int, dead: tuple[int, ...] = ()) -> ModuleStatistics:
    x = torch.randn(300, columns, generator=torch.Generator().manual_seed(0))
    x = x @ torch.randn(columns, columns, generator=torch.Generator().manual_seed(1))
    x[:, list(dead)] = 0
    factor, damping = inverse_cholesky(2 * x.T @ x)
    return ModuleStatistics(x.norm(dim=0), len(x), factor, damping)


WEIGHT = torch.randn(20, 300, generator=torch.Generator().manual_seed(2))


def test_nothing_asked_nothing_changed() -> None:
    assert torch.equal(sparsegpt(WEIGHT, statistics(300, dead=(3,)), 0.0, "unstructured", PruneReport()), WEIGHT)


def test_exact_count_in_every_block_and_input_untouched() -> None:
    before = WEIGHT.clone()
    found = sparsegpt(WEIGHT, statistics(300), 0.37, "unstructured", PruneReport())
    assert torch.equal(WEIGHT, before)
    assert [int((b == 0).sum()) for b in found.split(128, dim=1)] == [int(20 * n * 0.37) for n in (128, 128, 44)]


@pytest.mark.parametrize("pattern", ["2:4", "3:7", "1:2", "4:8"])
def test_groups_are_exact_even_where_they_do_not_divide_a_block(pattern: str) -> None:
    n, m = (int(v) for v in pattern.split(":"))
    found = sparsegpt(WEIGHT, statistics(300), 1 - n / m, pattern, PruneReport())
    whole = 300 - 300 % m
    assert ((found[:, :whole].reshape(20, -1, m) == 0).sum(dim=-1) == m - n).all()
    assert (found[:, whole:] != 0).all()


def test_dead_inputs_are_zeroed_first() -> None:
    found = sparsegpt(WEIGHT, statistics(300, dead=(0, 130, 299)), 0.5, "unstructured", PruneReport())
    assert not found[:, [0, 130, 299]].any()
    assert torch.isfinite(found).all()
    assert int((found == 0).sum()) == sum(int(20 * n * 0.5) for n in (128, 128, 44))


@pytest.mark.parametrize("sparsity", [0.3, 0.1])
def test_zeros_stay_where_less_is_asked_for_than_a_block_has(sparsity: float) -> None:
    """The first 128 columns are dense and lose their share; the next ones are 60 % zero and lose no weight more."""
    weight = WEIGHT[:, :256].clone()
    zeros = torch.zeros_like(weight, dtype=torch.bool)
    zeros[:, 128:] = torch.rand(20, 128, generator=torch.Generator().manual_seed(4)) < 0.6
    weight[zeros] = 0
    found = sparsegpt(weight, statistics(256), sparsity, "unstructured", PruneReport())
    assert int((found[:, :128] == 0).sum()) == int(20 * 128 * sparsity)
    assert torch.equal(found[:, 128:] == 0, zeros[:, 128:]), "none revived, none added"
    kept = ~zeros[:, 128:]
    assert not torch.equal(found[:, 128:][kept], weight[:, 128:][kept]), "those that are left make up for the others"


def test_where_everything_asked_for_is_zero_nothing_changes() -> None:
    weight = WEIGHT.masked_fill(torch.rand(20, 300, generator=torch.Generator().manual_seed(5)) < 0.6, 0.0)
    assert torch.equal(sparsegpt(weight, statistics(300), 0.4, "unstructured", PruneReport()), weight)
    groups = WEIGHT.clone()
    groups[:, ::2] = 0  # every second one: 2 of 4 are left already
    assert torch.equal(sparsegpt(groups, statistics(300), 0.5, "2:4", PruneReport()), groups)


def test_a_failing_factorisation_raises_the_damping_and_says_so() -> None:
    values = np.ones(12)
    values[-1] = -0.05  # not positive definite until the damping passes 0.05 of the mean diagonal
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    h = torch.from_numpy(rotation @ np.diag(values) @ rotation.T).float()
    factor, damping = inverse_cholesky(h.clone())
    assert damping == pytest.approx(10 * DAMPING)
    damped = h.double() + damping * h.diagonal().mean().double() * torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(factor.double().T @ factor.double() @ damped, torch.eye(12).double(), atol=1e-3, rtol=0)

    model, reporter = tiny("llama"), InMemoryReporter()
    observer = LinearInputs(model, reporter, hessian=True)
    observer.attach(model.model.layers[0], 0)
    hidden = torch.ones(1, 4, 32)
    observer._add("mlp.up_proj", hidden)
    observer.see(hidden, hidden)
    observer._sums["mlp.up_proj"].product = torch.eye(32) - 1.04 * torch.eye(32)[:1].T @ torch.eye(32)[:1]
    observer.finish()
    ((level, message, data),) = reporter.events
    assert level == "warning" and "layer 0, mlp.up_proj" in message and data["damping"] == pytest.approx(0.1)

    report = PruneReport()
    raised = ModuleStatistics(torch.ones(300), 10, statistics(300).cholesky, 0.1)
    sparsegpt(WEIGHT, raised, 0.5, "unstructured", report)
    assert any("damping of some Hessians was raised" in note for note in report.notes)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(RetortError, match="not finite"):
        inverse_cholesky(torch.full((4, 4), float("nan")))


def test_without_a_hessian_it_says_what_is_missing() -> None:
    with pytest.raises(RetortError, match="needs the Hessians"):
        sparsegpt(WEIGHT, ModuleStatistics(torch.ones(300), 10), 0.5, "unstructured", PruneReport())
