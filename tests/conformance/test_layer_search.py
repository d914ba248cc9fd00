"""Greedy layer removal against a search that takes layers out of copies of the model, one after another."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.depth import DepthContext, loss_ablation
from tests.engine import by_hand
from tests.engine.prune.tiny import tiny, windows

LAYERS = 8


def loud(seed: int) -> Any:
    """Eight layers with matrices five times as large: each changes the loss."""
    model = tiny("llama", layers=LAYERS, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5.0)
    return model


def losses_without(model: Any, gone: list[int], left: list[int], ids: torch.Tensor) -> dict[int, float]:
    return {i: by_hand.loss(by_hand.without_layers(copy.deepcopy(model), [*gone, i]), ids) for i in left}


def greedy(model: Any, count: int, removable: list[int], ids: torch.Tensor) -> list[int]:
    """Song et al. 2024, algorithm 1, with nothing saved: every loss is that of a whole, shorter model."""
    gone: list[int] = []
    for _ in range(count):
        losses = losses_without(model, gone, [i for i in removable if i not in gone], ids)
        gone.append(min(losses, key=losses.__getitem__))
    return gone


@pytest.mark.parametrize(("seed", "protected"), [(0, ()), (3, (0, 5))])
def test_the_layers_are_those_of_a_greedy_search_over_real_shorter_models(seed: int, protected: tuple[int]) -> None:
    model, ids = loud(seed), windows(sequences=7, seed=seed)
    removable = [i for i in range(LAYERS) if i not in protected]
    expected = greedy(model, 4, removable, ids)
    first = losses_without(model, [], removable, ids)
    assert expected != sorted(first, key=first.__getitem__)[:4], "measuring once must not be enough"
    context = DepthContext(model, adapter_for(model), None, ids, 4, tuple(removable), InMemoryReporter(), [])
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = loss_ablation(context)
    assert found[:4] == expected and sorted(found) == removable
    assert by_hand.same(before, dict(model.named_parameters()))
    again = DepthContext(model, adapter_for(model), None, ids, 4, tuple(removable), InMemoryReporter(), [])
    assert loss_ablation(again) == found, "what was skipped works again"


def test_only_the_first_windows_are_searched_and_it_says_so() -> None:
    model, ids = loud(1), windows(sequences=12, seed=5)
    context = DepthContext(model, adapter_for(model), None, ids, 3, tuple(range(LAYERS)), InMemoryReporter(), [])
    found = loss_ablation(context)[:3]
    assert found == greedy(model, 3, list(range(LAYERS)), ids[:8])
    assert found != greedy(model, 3, list(range(LAYERS)), ids)
    assert context.notes == ["The loss without each layer was measured on 8 calibration windows."]
