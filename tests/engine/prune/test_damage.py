"""Damaged statistics are made again, block by block, and are what they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.gradients import taylor_sums
from core.engine.prune.statistics import Statistics, collect, weight_observers
from tests.damage import HARMS
from tests.engine.prune.tiny import tiny, windows


def gather(folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Everything in the statistics, and how many blocks were gathered now."""
    model, reporter = tiny("llama"), InMemoryReporter()
    saved: list[int] = []
    observers = weight_observers(model, {"input_norms", "hessian"}, reporter)
    for observer in observers:
        finish = observer.finish
        observer.finish = lambda finish=finish: (saved.append(1), finish())[1]  # type: ignore[method-assign]
    found = collect(model, windows(5), observers, reporter, folder=folder)
    values = {
        f"{i} {key} {name}": t.clone()  # of a file that the test will harm
        for i in range(found.blocks)
        for key in found.facts["observers"]
        if ":" not in key
        for name, t in found.block(i, key).items()
    }
    return values, len(saved) // len(observers)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("what", ["block-0001.safetensors", "block-0000.safetensors", "statistics.json"])
def test_damaged_statistics_are_made_again(what: str, harm: str, tmp_path: Path) -> None:
    straight, made = gather(tmp_path / "s")
    blocks = Statistics(tmp_path / "s").blocks
    assert made == blocks > 1 and gather(tmp_path / "s")[1] == 0
    HARMS[harm](tmp_path / "s" / what)
    again, made = gather(tmp_path / "s")
    assert made == (blocks if what == "statistics.json" else 1)  # only the damaged block, where the rest is known
    assert again.keys() == straight.keys() and all(torch.equal(again[n], t) for n, t in straight.items())
    assert gather(tmp_path / "s")[1] == 0


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_sums_of_gradients_are_made_again(harm: str, tmp_path: Path) -> None:
    gather(tmp_path / "s")
    statistics, model = Statistics(tmp_path / "s"), tiny("llama")
    straight = taylor_sums(model, adapter_for(model), windows(5), statistics, InMemoryReporter())
    HARMS[harm](tmp_path / "s" / "taylor.safetensors")
    again = taylor_sums(model, adapter_for(model), windows(5), statistics, InMemoryReporter())
    assert again.keys() == straight.keys() and all(torch.equal(again[n], t) for n, t in straight.items())
