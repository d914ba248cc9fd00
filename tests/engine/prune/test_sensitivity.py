"""Each cell equals pruning that part alone and evaluating the whole model; interruptions lose nothing."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.matrices import family, prunable
from core.engine.prune.prefix import Prefix
from core.engine.prune.sensitivity import Cell, Kept, curves, sensitivity
from core.engine.prune.statistics import collect, weight_observers
from core.recipe.recipe import Prune
from tests.engine.pairs import pair_of
from tests.engine.prune.tiny import FAMILIES, tiny, windows

MAGNITUDE = Prune(method="magnitude", sparsity=0.5)


def losses(model: nn.Module) -> Callable[[], list[float]]:
    """Loss of each window, one window a batch."""

    @torch.no_grad()
    def evaluate() -> list[float]:
        return [float(model(input_ids=w[None], labels=w[None]).loss) for w in windows(3)]

    return evaluate


def measured(model: nn.Module, path: Path, sparsities: tuple[float, ...] = (0.5,), **more: object) -> list[Cell]:
    return list(sensitivity(model, MAGNITUDE, sparsities, None, losses(model), path, InMemoryReporter(), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "mixtral"])
def test_cells_equal_a_plain_evaluation(name: str, tmp_path: Path) -> None:
    model = tiny(name, layers=2)
    cells = measured(model, tmp_path / "cells.json", (0.7,))
    parts = {family(m) for m in prunable(model)}
    assert len(cells) == 2 * (1 + len(parts))
    dense = losses(tiny(name, layers=2))()
    for cell in cells:
        other = tiny(name, layers=2)
        for m in prunable(other):
            if m.block_index == cell.layer and cell.part in (None, family(m)):
                w = m.read()
                order = w.abs().flatten().argsort(stable=True)[: int(w.numel() * cell.sparsity)]
                w.view(-1)[order] = 0
                m.write(w)
        assert cell.samples == [a - b for a, b in zip(losses(other)(), dense, strict=True)], cell.place
        assert cell.change == pytest.approx(sum(cell.samples) / 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny(name, layers=2).parameters(), strict=True))


def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    model, path = tiny("llama"), tmp_path / "cells.json"
    whole = measured(model, tmp_path / "whole.json")
    first = sensitivity(model, MAGNITUDE, (0.5,), None, losses(model), path, InMemoryReporter())
    assert len(list(itertools.islice(first, 5))) == 5
    first.close()
    assert list(Kept.read(path).cells.values()) == whole[:5]
    calls = 0

    def counted() -> list[float]:
        nonlocal calls
        calls += 1
        return losses(model)()

    assert list(sensitivity(model, MAGNITUDE, (0.5,), None, counted, path, InMemoryReporter())) == whole
    assert calls == 1 + len(whole) - 5  # the dense model once, then what was missing
    measured(model, path, identity={"model": "another"})
    assert len(list(Kept.read(path).cells.values())) == len(whole)  # started afresh, and not mixed


def test_curves_are_whole_layers() -> None:
    cells = [Cell(0, None, 0.3, 0.1, [], 1), Cell(0, "mlp", 0.3, 9.0, [], 1), Cell(0, None, 0.5, 0.4, [], 1)]
    assert curves(cells) == {0: {0.3: 0.1, 0.5: 0.4}}


def test_calibrated_methods_protection_and_patterns(tmp_path: Path) -> None:
    model, reporter = tiny("llama"), InMemoryReporter()
    step = Prune(method="wanda", pattern="2:4", protect=(0,))
    with pytest.raises(RetortError, match="needs calibration statistics"):
        next(sensitivity(model, step, (), None, losses(model), tmp_path / "a.json", reporter))
    observers = weight_observers(model, {"input_norms"}, reporter)
    statistics = collect(model, windows(), observers, reporter, folder=tmp_path / "s")
    found = list(sensitivity(model, step, (), statistics, losses(model), tmp_path / "a.json", reporter, parts=False))
    assert [c.place for c in found] == [(1, None, 0.5), (2, None, 0.5)]


@pytest.mark.parametrize("name", FAMILIES)
def test_skipped_blocks_change_nothing(name: str) -> None:
    model = tiny(name)
    prefix, evaluate = Prefix(model), losses(model)
    with prefix.recording():
        dense = evaluate()
    last = prunable(model)[-1]
    last.write(last.read() * 0.5)
    plain = evaluate()
    assert plain != dense
    ran: list[int] = []
    handles = [
        m.register_forward_hook(lambda *a, i=i: ran.append(i)) for i, m in enumerate(prefix._blocks[0].children())
    ]
    with prefix.skipping(2):
        assert evaluate() == plain
    assert not ran  # nothing inside the first block was computed
    for h in handles:
        h.remove()


def test_batches_never_seen_run_in_full() -> None:
    model = tiny("llama")
    small = Prefix(model, limit=0)
    with small.recording():
        losses(model)()
    expected = losses(model)()
    with small.skipping(2):
        assert losses(model)() == expected


def skipped(model: nn.Module, layer: int, calls: list[dict[str, torch.Tensor]]) -> None:
    """Every call gets its own answer, whole or from what was recorded before `layer`."""

    def answers() -> list[torch.Tensor]:
        return [model(**call).logits for call in calls]

    prefix = Prefix(model)
    with torch.no_grad():
        whole = answers()
        with prefix.recording():
            answers()
        with prefix.skipping(layer):
            again = answers()
    assert not torch.equal(whole[0], whole[1])
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_two_targets_of_one_source_are_not_taken_for_one() -> None:
    source = torch.tensor([[5, 6, 7]])
    targets = torch.tensor([[[0, 9, 8]], [[0, 20, 30]]])
    skipped(pair_of("t5"), 4, [{"input_ids": source, "decoder_input_ids": target} for target in targets])


def test_two_masks_of_the_same_tokens_are_not_taken_for_one() -> None:
    ids, masks = torch.tensor([[5, 6, 7]]), torch.tensor([[[1, 1, 1]], [[0, 1, 1]]])
    skipped(tiny("llama"), 2, [{"input_ids": ids, "attention_mask": mask} for mask in masks])
