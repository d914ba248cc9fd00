"""Layers chosen by the healed loss, against every choice tried by hand: folded by numpy, cut out, and judged."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.depth import DepthContext
from core.engine.prune.evolved import evolved
from core.engine.prune.folded_runs import runs_of
from core.engine.prune.healed_spans import healed_loss
from core.engine.prune.surgery import Keep, cut
from tests.conformance.test_healing import matrix, ridge_by_numpy, seen
from tests.engine.models.zoo import ids, tiny

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
WINDOWS = ids(batch=24, length=16)
JUDGED = 6  # a quarter of the windows, and the rest is fitted: 18 windows in batches of 3, the last of 6 held out
FITTED, TOKENS = 15 * 16, 18 * 16


def context(model: Any, count: int, protect: tuple[int, ...] = ()) -> DepthContext:
    free = tuple(i for i in range(len(model.model.layers)) if i not in protect)
    return DepthContext(model, adapter_for(model), None, WINDOWS, count, free, InMemoryReporter(), [])


def folded(model: Any, *runs: tuple[int, int]) -> Any:
    """The model without the layers of some runs, each made up for by what its predecessor's MLP writes."""
    layers = len(model.model.layers)
    changed = copy.deepcopy(model)
    for start, end in runs:
        change = made_up(model, start, end)
        if change is not None:
            name = f"model.layers.{start - 1}.mlp.down_proj"
            with torch.no_grad():
                new = matrix(model, name) @ (np.eye(len(change)) + change)
                changed.get_submodule(name).weight.copy_(torch.tensor(new.T))
    stay = [i for i in range(layers) if not any(start <= i < end for start, end in runs)]
    return cut(changed, adapter_for(changed), Keep(stay))


def made_up(model: Any, start: int, end: int) -> np.ndarray | None:
    """The change of what the MLP before a run writes that makes up for it, None where nothing would be better."""
    if start == 0:
        return None
    m = seen(model, f"model.layers.{start - 1}.mlp.down_proj")[1][:TOKENS]
    before, after = (seen(model, f"model.layers.{i - 1}")[1][:TOKENS] for i in (start, end))
    return by_the_best_ridge(m, after - before, 1 / np.sqrt(np.mean(after**2, axis=1)))


def by_the_best_ridge(x: np.ndarray, lacking: np.ndarray, w: np.ndarray) -> np.ndarray | None:
    """Least squares of what is lacking, the ridge chosen on the held-out tokens; None where nothing is better there."""
    errors = {}
    for ridge in RIDGES:
        change = ridge_by_numpy(x[:FITTED], lacking[:FITTED], ridge, False, w[:FITTED])
        errors[ridge] = np.sum(((lacking - x @ change) * w[:, None])[FITTED:] ** 2)
    if min(errors.values()) >= np.sum((lacking * w[:, None])[FITTED:] ** 2):
        return None
    return ridge_by_numpy(x[:FITTED], lacking[:FITTED], min(errors, key=lambda r: errors[r]), False, w[:FITTED])


def loss(model: Any) -> float:
    tokens = WINDOWS[-JUDGED:]
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1].double()
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))


def test_one_layer_is_the_best_of_all() -> None:
    model = tiny("llama")
    losses = {i: loss(folded(model, (i, i + 1))) for i in range(4)}
    order = healed_loss(context(model, 1))
    assert order[0] == min(losses, key=lambda i: losses[i])
    assert sorted(order) == [0, 1, 2, 3]


def test_of_two_layers_the_row_is_taken_where_it_is_better_than_one_after_the_other() -> None:
    """Layer 2 undoes what layer 1 does: together they can go at no cost, alone neither can."""
    model = tiny("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
        first, second = model.model.layers[1].mlp, model.model.layers[2].mlp
        first.down_proj.weight.mul_(4)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        second.down_proj.weight.mul_(-1)
        model.model.layers[2].post_attention_layernorm.weight.copy_(
            model.model.layers[1].post_attention_layernorm.weight
        )
    chosen = healed_loss(context(model, 2))[:2]
    pairs = [(i, i + 2) for i in range(3)]
    best = min(pairs, key=lambda run: loss(folded(model, run)))
    assert loss(folded(model, (min(chosen), max(chosen) + 1))) <= loss(folded(model, best)) + 1e-6


def test_protected_layers_stay_and_nothing_in_the_model_changes() -> None:
    model = tiny("llama")
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        logits = model(WINDOWS).logits
    order = healed_loss(context(model, 2, protect=(1,)))
    assert 1 not in order and len(order) == 3
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with torch.no_grad():
        assert torch.equal(model(WINDOWS).logits, logits), "hooks and skipped layers are put back"


def test_the_search_finds_what_trying_every_choice_finds() -> None:
    """Two of six layers, in all fifteen ways: KL from the dense model on the judged windows, by hand."""
    model = tiny("llama", num_hidden_layers=6)
    tokens = WINDOWS[-JUDGED:]
    with torch.no_grad():
        p = torch.softmax(model(tokens).logits.double(), -1)
        found = {}
        for gone in itertools.combinations(range(6), 2):
            q = torch.softmax(folded(model, *runs_of(gone))(tokens).logits.double(), -1)
            found[gone] = float((p * (p / q).log()).sum(-1).mean())
    of = context(model, 2)
    assert tuple(sorted(evolved(of)[:2])) == min(found, key=lambda gone: found[gone])
    name = "search/Layer removal (evolutionary search), 2 layers removed"
    curve = [value for n, _, value in of.reporter.points if n == name]  # type: ignore[attr-defined]
    assert curve == sorted(curve, reverse=True) and curve[-1] == pytest.approx(min(found.values()), rel=1e-3)


@pytest.mark.parametrize(
    ("gone", "runs"), [([2, 3, 7], [(2, 4), (7, 8)]), ([0], [(0, 1)]), ([3, 1, 2], [(1, 4)]), ([], [])]
)
def test_runs(gone: list[int], runs: list[tuple[int, int]]) -> None:
    assert runs_of(gone) == runs
