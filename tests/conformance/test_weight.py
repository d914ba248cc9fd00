"""Weight pruning against independent implementations, written from the papers' definitions in numpy.

Nothing of the engine is used on the right-hand side except to read a model's matrices.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.base.progress import InMemoryReporter
from core.engine.models.matrices import Matrix, prunable
from core.engine.prune.allocation import OWL_LAMBDA, OWL_M, by_layer, outlier_share, owl
from core.engine.prune.apply import prune_weights
from core.engine.prune.linear_inputs import DAMPING, inverse_cholesky
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.sparsegpt import sparsegpt
from core.engine.prune.statistics import ModuleStatistics, Statistics, collect, weight_observers
from core.recipe.recipe import Prune
from tests.engine.prune.tiny import tiny, windows

Array = NDArray[np.float64]
NAMES = ["llama", "gemma3", "gpt2", "neox", "bert"]


def inputs_of(model: torch.nn.Module, ids: torch.Tensor) -> dict[str, Array]:
    """X `(sequences, length, in)` of every plain matrix, recorded in one ordinary forward of the model."""
    seen: dict[str, Array] = {}

    def record(name: str) -> object:
        def hook(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            seen[name] = args[0].detach().numpy().astype(np.float64).reshape(len(ids), ids.shape[1], -1)

        return hook

    handles = [m.module.register_forward_pre_hook(record(m.name)) for m in prunable(model)]
    with torch.no_grad():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return seen


def statistics_of(model: torch.nn.Module, folder: Path, ids: torch.Tensor) -> Statistics:
    reporter = InMemoryReporter()
    return collect(model, ids, weight_observers(model, {"hessian"}, reporter), reporter, 2, folder=folder)


def wanda_mask(weight: NDArray[np.float32], norms: NDArray[np.float32], sparsity: float) -> NDArray[np.bool_]:
    """Row by row: the int(in * s) lowest |W_ij| ||X_j||, a tie going to the lower index."""
    mask = np.zeros(weight.shape, dtype=bool)
    for i, row in enumerate(weight):
        order = sorted(range(len(row)), key=lambda j: (np.float32(abs(row[j]) * norms[j]), j))
        mask[i, order[: int(len(row) * sparsity)]] = True
    return mask


def magnitude_mask(weight: NDArray[np.float32], sparsity: float) -> NDArray[np.bool_]:
    flat = [abs(v) for v in weight.ravel().tolist()]
    order = sorted(range(len(flat)), key=lambda i: (flat[i], i))
    mask = np.zeros(len(flat), dtype=bool)
    mask[order[: int(len(flat) * sparsity)]] = True
    return mask.reshape(weight.shape)


def four_bits(model: torch.nn.Module) -> None:
    """Rounds every matrix to few values, so that ties are everywhere."""
    for m in prunable(model):
        w = m.read()
        m.write((w / w.abs().max() * 7 + 0.5).round() / 7 - 0.07)  # no zeros among them


@pytest.mark.parametrize("name", NAMES)
def test_input_norms_and_hessians(name: str, tmp_path: Path) -> None:
    model, ids = tiny(name), windows(5)
    recorded, statistics = inputs_of(model, ids), statistics_of(model, tmp_path, ids)
    for m in prunable(model):
        x = recorded[m.name]  # (sequences, length, in)
        found = statistics.of(m)
        norms = np.sqrt((x**2).sum(axis=1).mean(axis=0))
        np.testing.assert_allclose(found.input_norms.numpy(), norms, rtol=1e-5)
        assert found.tokens == ids.numel()
        flat = x.reshape(-1, x.shape[-1])
        hessian = 2 / len(ids) * flat.T @ flat
        hessian += DAMPING * np.diag(hessian).mean() * np.eye(len(hessian))
        assert found.cholesky is not None and found.damping == pytest.approx(DAMPING)
        factor = found.cholesky.double().numpy()
        assert not np.tril(factor, -1).any()
        np.testing.assert_allclose(factor.T @ factor @ hessian, np.eye(len(hessian)), atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [0.29, 0.5, 0.7])
@pytest.mark.parametrize("ties", [False, True])
def test_magnitude_and_wanda_masks(name: str, sparsity: float, ties: bool, tmp_path: Path) -> None:
    def fresh() -> torch.nn.Module:
        model = tiny(name)
        if ties:
            four_bits(model)
        return model

    dense = {m.name: m.read().numpy() for m in prunable(fresh())}
    statistics = statistics_of(fresh(), tmp_path, windows(3))
    wanda, magnitude = fresh(), fresh()
    prune_weights(wanda, Prune(method="wanda", sparsity=sparsity), statistics, InMemoryReporter())
    prune_weights(magnitude, Prune(method="magnitude", sparsity=sparsity), None, InMemoryReporter())
    for m in prunable(wanda):
        expected = wanda_mask(dense[m.name], statistics.of(m).input_norms.numpy(), sparsity)
        assert np.array_equal(m.read().numpy(), np.where(expected, 0, dense[m.name])), m.name
    for m in prunable(magnitude):
        expected = magnitude_mask(dense[m.name], sparsity)
        assert np.array_equal(m.read().numpy(), np.where(expected, 0, dense[m.name])), m.name


def test_expert_statistics_follow_the_routing(tmp_path: Path) -> None:
    """Each expert's norms are those of the tokens routed to it, worked out here from the router alone."""
    model, ids = tiny("mixtral"), windows(5)
    mlp = model.model.layers[1].mlp
    seen: dict[str, torch.Tensor] = {}
    handle = mlp.register_forward_pre_hook(lambda m, args: seen.update(x=args[0].detach()))
    with torch.no_grad():
        model(input_ids=ids)
    handle.remove()
    x = seen["x"].reshape(-1, 32)  # (tokens, hidden)
    statistics = statistics_of(model, tmp_path, ids)
    chosen = torch.topk(x @ mlp.gate.weight.detach().T, 2, dim=1).indices  # (tokens, 2)
    gate_up, down = mlp.experts.gate_up_proj.detach(), mlp.experts.down_proj.detach()
    for e in range(4):
        mine = x[(chosen == e).any(dim=1)]
        gate, up = (mine @ gate_up[e].T).chunk(2, dim=1)
        inner = torch.nn.functional.silu(gate) * up
        for part, inputs, weight in (("gate_up_proj", mine, gate_up[e]), ("down_proj", inner, down[e])):
            found = statistics.module(f"model.layers.1.mlp.experts.{part}.{e}")
            assert found.tokens == len(mine)
            assert found.input_norms.shape == (weight.shape[1],)
            expected = (inputs.square().sum(dim=0) / len(ids)).sqrt()
            torch.testing.assert_close(found.input_norms, expected, rtol=1e-4, atol=1e-6)


def correlated(seed: int, tokens: int, columns: int) -> Array:
    """Inputs whose channels depend on each other, with a few much larger than the rest."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(tokens, columns)) @ rng.normal(size=(columns, columns)) / np.sqrt(columns)
    scaled: Array = mixed * np.exp(rng.normal(size=columns))
    return scaled


def slow_obs(weight: Array, hessian: Array, sparsity: float, block: int) -> Array:
    """Optimal brain surgeon column by column: after each column the inverse Hessian is made anew by
    inverting what is left of H. Chooses the mask a block at a time with the inverse at each column's turn."""
    w = weight.copy()
    out, columns = w.shape
    left = [np.linalg.inv(hessian[j:, j:]) for j in range(columns)]  # inverse over the columns from j on
    for start in range(0, columns, block):
        end = min(start + block, columns)
        scores = np.stack([w[:, j] ** 2 / left[j][0, 0] for j in range(start, end)], axis=1)
        lowest = np.argsort(scores.ravel(), kind="stable")[: int(scores.size * sparsity)]
        mask = np.zeros(scores.size, dtype=bool)
        mask[lowest] = True
        mask = mask.reshape(scores.shape)
        for j in range(start, end):
            gone = mask[:, j - start]
            step = left[j][0] / left[j][0, 0]  # (columns - j,)
            w[gone, j:] -= w[gone, j][:, None] * step
            w[gone, j] = 0
    return w


def stats_from(x: Array) -> tuple[ModuleStatistics, Array]:
    """What the engine would have stored for inputs x `(tokens, in)`, and the damped H of the definition."""
    hessian = 2 * x.T @ x
    factor, damping = inverse_cholesky(torch.from_numpy(hessian.copy()).float())
    norms = torch.from_numpy(np.sqrt((x**2).sum(axis=0))).float()
    damped = hessian + DAMPING * np.diag(hessian).mean() * np.eye(len(hessian))
    return ModuleStatistics(norms, len(x), factor, damping), damped


@pytest.mark.parametrize(("columns", "block", "sparsity"), [(40, 16, 0.5), (40, 128, 0.7), (33, 8, 0.29)])
def test_sparsegpt_against_slow_obs(columns: int, block: int, sparsity: float) -> None:
    x = correlated(0, 400, columns)
    weight = np.random.default_rng(1).normal(size=(24, columns)).astype(np.float32)
    stats, hessian = stats_from(x)
    expected = slow_obs(weight.astype(np.float64), hessian, sparsity, block)
    found = sparsegpt(torch.from_numpy(weight), stats, sparsity, "unstructured", PruneReport(), block=block).numpy()
    assert np.array_equal(found == 0, expected == 0)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_layer_output_error_sparsegpt_wanda_magnitude() -> None:
    """On correlated inputs, at every sparsity, in the published order."""
    columns = 96
    for seed in range(3):
        x = correlated(seed, 800, columns)
        weight = np.random.default_rng(seed + 10).normal(size=(64, columns)).astype(np.float32)
        stats, _ = stats_from(x)
        for sparsity in (0.3, 0.5, 0.7):
            candidates = (
                sparsegpt(torch.from_numpy(weight), stats, sparsity, "unstructured", PruneReport()).numpy(),
                np.where(wanda_mask(weight, stats.input_norms.numpy(), sparsity), 0, weight),
                np.where(magnitude_mask(weight, sparsity), 0, weight),
            )
            errors = [float(((x @ (weight - c).T) ** 2).sum()) for c in candidates]
            assert errors == sorted(errors), (seed, sparsity, errors)


def test_owl_formula(tmp_path: Path) -> None:
    model, ids = tiny("llama"), windows(3)
    for m in prunable(model):  # make the layers differ
        m.write(m.read() ** (1 + 2 * (m.block_index == 1)))
    statistics = statistics_of(model, tmp_path, ids)
    recorded = inputs_of(model, ids)
    layers: list[list[Matrix]] = list(by_layer(prunable(model)).values())
    outliers = []
    for layer in layers:
        scores = np.concatenate(
            [
                (np.abs(m.read().numpy()) * np.sqrt((recorded[m.name] ** 2).sum(axis=1).mean(axis=0))).ravel()
                for m in layer
            ]
        )
        outliers.append(float((scores > OWL_M * scores.mean()).mean()))
    assert len(set(outliers)) > 1
    np.testing.assert_allclose([outlier_share(layer, statistics) for layer in layers], outliers, atol=2e-4)
    d = np.array(outliers)
    d = (d - d.min()) / (d.max() - d.min()) * 2 * OWL_LAMBDA
    sizes = np.array([1.0, 1.0, 1.0])
    np.testing.assert_allclose(owl(np.array(outliers), sizes, 0.7), 1 - (d - d.mean() + 1 - 0.7), atol=1e-12)
