"""OBS against brute force: every unit is tried, all others are solved again by numpy, and the cheapest goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.engine.prune.obs import Removal, removal_scores

DAMPING = 0.01


def problem(columns: int, out: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """W (out, columns), and the second moments of inputs that depend on each other."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(columns, columns)) * (generator.random((columns, columns)) < 0.4) + np.eye(columns)
    x = generator.normal(size=(200, columns)) @ mixing
    return generator.normal(size=(out, columns)), x.T @ x / len(x)


def cost(weight: np.ndarray, h: np.ndarray, kept: list[int]) -> float:
    """What is lost at least: the best matrix on the kept columns by least squares, on a square root of damped H."""
    damped = h + np.eye(len(h)) * DAMPING * np.mean(np.diag(h))
    root = np.linalg.cholesky(damped).T  # root.T @ root = damped: its rows stand for tokens
    wanted = root @ weight.T
    solved = np.linalg.lstsq(root[:, kept], wanted, rcond=None)[0]
    return float(np.sum((wanted - root[:, kept] @ solved) ** 2))


def greedy(weight: np.ndarray, h: np.ndarray, units: list[list[int]], count: int) -> list[int]:
    """Units in the order in which they go."""
    gone: list[int] = []
    for _ in range(count):
        costs = {}
        for candidate in (u for u in range(len(units)) if u not in gone):
            lost = {c for u in (*gone, candidate) for c in units[u]}
            costs[candidate] = cost(weight, h, [c for c in range(len(h)) if c not in lost])
        gone.append(min(costs, key=lambda u: costs[u]))
    return gone


def order(scores: torch.Tensor, count: int) -> list[int]:
    return [int(i) for i in scores.argsort()[:count]]


@pytest.mark.parametrize("seed", range(4))
def test_neurons_go_in_the_order_of_brute_force(seed: int) -> None:
    weight, h = problem(12, seed=seed)
    scores = removal_scores(Removal(torch.tensor(weight), torch.tensor(h), 1, 1, 1, 7))
    assert order(scores, 5) == greedy(weight, h, [[c] for c in range(12)], 5)
    assert int((scores > 5).sum()) == 7


@pytest.mark.parametrize("seed", range(3))
def test_whole_groups_go_as_blocks(seed: int) -> None:
    """Six heads of three columns in three groups of two: a group is one unit of six columns."""
    weight, h = problem(18, seed=seed)
    scores = removal_scores(Removal(torch.tensor(weight), torch.tensor(h), 3, 3, 1, 2)).view(3, 2)
    first, second = greedy(weight, h, [list(range(6 * g, 6 * g + 6)) for g in range(3)], 2)
    assert scores[first].tolist() == [0, 0] and scores[second].tolist() == [1, 1]
    assert scores.sum(1).argmax() not in (first, second)


def test_the_same_number_of_heads_goes_from_each_group() -> None:
    weight, h = problem(18, seed=5)
    scores = removal_scores(Removal(torch.tensor(weight), torch.tensor(h), 3, 2, 2, 2)).view(2, 3)
    units = [list(range(3 * u, 3 * u + 3)) for u in range(6)]
    first = greedy(weight, h, units, 1)[0]
    rest = range(3, 6) if first < 3 else range(3)
    costs = {}
    for second in rest:
        lost = {*units[first], *units[second]}
        costs[second] = cost(weight, h, [c for c in range(18) if c not in lost])
    gone = {first, min(costs, key=lambda u: costs[u])}
    assert {u for u in range(6) if scores.flatten()[u] < 2} == gone


def test_of_two_that_say_the_same_one_goes_first() -> None:
    """A large column that another one can stand in for costs nothing, a small one on its own does."""
    weight, h = problem(6)
    weight[:, 3] *= 10
    x = np.random.default_rng(3).normal(size=(300, 6))
    x[:, 4] = x[:, 3]
    scores = removal_scores(Removal(torch.tensor(weight), torch.tensor(x.T @ x), 1, 1, 1, 5))
    assert order(scores, 1)[0] in (3, 4)
