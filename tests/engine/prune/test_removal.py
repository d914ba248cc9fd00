"""The loss without a layer or a head equals that of a model from which it is really gone."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.models.matrices import find_blocks
from core.engine.prune.removal import removals
from core.engine.prune.surgery import Keep, cut
from tests.engine.prune.tiny import tiny, windows


def losses(model: nn.Module) -> Callable[[], list[float]]:
    @torch.no_grad()
    def evaluate() -> list[float]:
        return [float(model(input_ids=w[None], labels=w[None]).loss) for w in windows(3)]

    return evaluate


def causal(name: str) -> PreTrainedModel:
    model = tiny(name)
    assert isinstance(model, PreTrainedModel)
    return model


@pytest.mark.parametrize("name", ["llama", "gpt2", "neox", "opt", "mixtral"])
def test_a_layer_counts_as_if_it_were_cut_out(name: str, tmp_path: Path) -> None:
    model = causal(name)
    found = list(removals(model, losses(model), tmp_path / "removed.json", InMemoryReporter()))
    dense = losses(model)()
    assert [(c.layer, c.part) for c in found] == [(0, None), (1, None), (2, None)]
    architecture = adapter_for(model)
    for cell in found:
        smaller = cut(model, architecture, Keep([i for i in range(3) if i != cell.layer]))
        by_hand = [a - b for a, b in zip(losses(smaller)(), dense, strict=True)]
        assert cell.samples == pytest.approx(by_hand, abs=1e-5)
        assert cell.parameters == sum(p.numel() for p in find_blocks(model)[cell.layer].parameters())
    assert losses(model)() == dense, "nothing stays changed"


@pytest.mark.parametrize(("name", "output"), [("llama", "self_attn.o_proj"), ("gpt2", "attn.c_proj")])
def test_a_head_counts_as_if_its_columns_were_zero(name: str, output: str, tmp_path: Path) -> None:
    model = causal(name)
    path = tmp_path / "removed.json"
    found = list(removals(model, losses(model), path, InMemoryReporter(), adapter_for(model)))
    dense = losses(model)()
    heads = [c for c in found if c.part is not None]
    assert len(heads) == 3 * 4
    for cell in heads[::3]:
        other, head = causal(name), int(str(cell.part).split()[1])
        weight = find_blocks(other)[cell.layer].get_submodule(output).weight
        assert isinstance(weight, nn.Parameter)
        rows = slice(head * 8, (head + 1) * 8)
        with torch.no_grad():
            if name == "gpt2":  # stores (in, out)
                weight[rows] = 0
            else:
                weight[:, rows] = 0
        by_hand = [a - b for a, b in zip(losses(other)(), dense, strict=True)]
        assert cell.samples == pytest.approx(by_hand, abs=1e-5)


def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    model, path, calls = causal("llama"), tmp_path / "removed.json", 0

    def counted() -> list[float]:
        nonlocal calls
        calls += 1
        return losses(model)()

    whole = list(removals(model, losses(model), tmp_path / "whole.json", InMemoryReporter()))
    first = removals(model, counted, path, InMemoryReporter())
    assert len(list(itertools.islice(first, 2))) == 2
    first.close()
    calls = 0
    assert list(removals(model, counted, path, InMemoryReporter())) == whole
    assert calls == 2, "the dense model, and the one layer that was missing"
