"""Encoder-decoders against plain transformers: losses of targets, and what calibration saw in both stacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.base.progress import InMemoryReporter
from core.engine.evaluate.perplexity import perplexity
from core.engine.models.load import Loaded
from core.engine.models.matrices import prunable
from core.engine.prune.statistics import collect, weight_observers
from core.engine.run.sensitivity import evaluation_of
from tests.engine.pairs import PAIRS, pair_of

WINDOW, PADDING = 24, 0


def windows(padded: bool) -> Tensor:
    """(5, 24): a source of 12 tokens and a target of 12; of some pairs shorter ones."""
    found = torch.randint(2, 384, (5, WINDOW), generator=torch.Generator().manual_seed(1))
    if padded:
        found[0, 8:12], found[1, 18:], found[3, 20:], found[4, 13:] = (PADDING,) * 4
    return found


def by_hand(model: Any, row: Tensor) -> Tensor:
    """The loss of each token of one pair's target, as transformers itself computes it: without any padding."""
    source, target = row[:12], row[12:]
    labels = target[target != PADDING][None]
    with torch.no_grad():
        logits = model(input_ids=source[source != PADDING][None], labels=labels).logits[0]
    return nn.functional.cross_entropy(logits, labels[0], reduction="none")


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("padded", [False, True])
def test_the_loss_is_that_of_the_targets_tokens(name: str, padded: bool) -> None:
    """Of pairs of unlike length every token weighs the same, and padding nothing."""
    model, ids = pair_of(name), windows(padded)
    found = {m.metric: m for m in perplexity(model, ids, 2, InMemoryReporter())}
    each = [by_hand(model, row) for row in ids]
    tokens = torch.cat(each).double()
    assert found["loss"].value == pytest.approx(float(tokens.mean()), abs=1e-5)
    assert found["perplexity"].value == pytest.approx(float(tokens.mean().exp()), rel=1e-5)
    assert found["loss"].settings["predicted_tokens"] == len(tokens) == (39 if padded else 60)
    shares = [float(part.sum()) * 5 / len(tokens) for part in each]
    assert found["loss"].samples == pytest.approx(shares, abs=1e-5)
    loaded = Loaded(model, None, Path(), torch.float32, "seq2seq")
    assert evaluation_of(loaded, ids, 2, InMemoryReporter())() == pytest.approx(shares, abs=1e-5)  # of a sensitivity


def _inputs(model: Any, ids: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What goes into every linear layer, pair by pair without padding, by a plain forward with hooks."""
    seen: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen.append((name, args[0][0])))  # type: ignore[misc]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    for row in ids:
        by_hand(model, row)
    for handle in handles:
        handle.remove()
    yield from seen


@pytest.mark.parametrize("name", ["flan-t5", "bart"])
def test_both_stacks_are_calibrated_on_what_they_read(name: str, tmp_path: Path) -> None:
    """Norms of the inputs of every matrix, cross-attention included, and no padding among them."""
    model, ids, reporter = pair_of(name), windows(True), InMemoryReporter()
    found = collect(model, ids, weight_observers(model, {"input_norms"}, reporter), reporter, folder=tmp_path)
    squares: dict[str, Tensor] = {}
    for place, x in _inputs(model, ids):
        squares[place] = squares.get(place, torch.zeros(())) + x.square().sum(0)
    for matrix in prunable(model):
        torch.testing.assert_close(
            found.of(matrix).input_norms, (squares[matrix.name] / 5).sqrt(), rtol=1e-4, atol=1e-5
        )
