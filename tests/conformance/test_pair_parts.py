"""Parts taken out of encoder-decoders: what is left computes what the whole computes with those parts silenced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.models.load import Loaded
from core.engine.prune.structured import prune_structure
from core.engine.prune.surgery import Keep, cut
from core.recipe.recipe import Prune
from tests.engine.pairs import PAIRS, pair_of

SOURCE = torch.randint(2, 384, (2, 12), generator=torch.Generator().manual_seed(3))
TARGET = torch.randint(2, 384, (2, 9), generator=torch.Generator().manual_seed(4))
KEPT = [torch.arange(i, 48, 2 if i % 2 else 3)[:16] for i in range(5)]
"""The neurons that stay in each layer, read by hand from transformers' source: those of `wo`, or `fc2`, go in."""


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        out: Tensor = model(input_ids=SOURCE, decoder_input_ids=TARGET).logits
    return out


def blocks_of(model: Any) -> list[nn.Module]:
    """The encoder's three, then the decoder's two."""
    stacks = (model.get_encoder(), model.get_decoder())
    return [b for stack in stacks for b in (stack.block if hasattr(stack, "block") else stack.layers)]


def down(block: Any) -> nn.Linear:
    found: nn.Linear = block.fc2 if hasattr(block, "fc2") else block.layer[-1].DenseReluDense.wo
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_neurons_and_layers_of_both_stacks(name: str, tmp_path: Path) -> None:
    """One layer of each stack and two thirds of the neurons go; the result is loaded by plain transformers."""
    model = pair_of(name)
    architecture = adapter_for(model)
    assert (architecture.layers, architecture.pinned) == (5, (0, 3))
    kept = [0, 2, 3]
    smaller = cut(model, architecture, Keep(kept, units={"neurons": [KEPT[i] for i in kept]}))
    smaller.save_pretrained(tmp_path)
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    silent = pair_of(name)
    for index, block in enumerate(blocks_of(silent)):
        gone = torch.ones(48, dtype=torch.bool)
        gone[KEPT[index]] = False
        down(block).weight.data[:, gone] = 0
    for stack, last in ((silent.get_encoder(), (0, 2)), (silent.get_decoder(), (0,))):
        path = "block" if hasattr(stack, "block") else "layers"
        setattr(stack, path, nn.ModuleList(getattr(stack, path)[i] for i in last))
    torch.testing.assert_close(logits(again), logits(silent), rtol=1e-4, atol=1e-4)
    assert [down(b).weight.shape for b in blocks_of(again)] == [(32, 16)] * 3


METHODS = {
    "width_norm": {"block_fraction": 0.2},
    "width_activations": {"block_fraction": 0.2},
    "width_flap": {"block_fraction": 0.2},
    "width_obs": {"block_fraction": 0.2},
    "block_influence": {"remove_layers": 2},
    "angular": {"remove_layers": 1},
}


@pytest.mark.parametrize("name", ["flan-t5", "bart"])
def test_every_method_that_is_offered_takes_parts_out(name: str) -> None:
    model = pair_of(name)
    windows = torch.randint(2, 384, (4, 24), generator=torch.Generator().manual_seed(5))
    loaded = Loaded(model, None, Path(), torch.float32, "seq2seq")
    for method, target in METHODS.items():
        step = Prune.model_validate({"method": method, "target": target, "multiple": 4})
        smaller, report = prune_structure(loaded, step, None, windows, InMemoryReporter())
        kept = report.facts["layers_kept"]
        assert {0, 3} <= set(kept)
        assert len(kept) == 5 - target.get("remove_layers", 0)  # type: ignore[operator]
        assert torch.isfinite(logits(smaller)).all()
        assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
