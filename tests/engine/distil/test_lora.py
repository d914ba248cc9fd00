"""Adapters: nothing changes when they are put in, and merging them changes no output."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from core.base.errors import RetortError
from core.engine.distil.lora import add_lora, merge_lora
from core.engine.models.load import Loaded
from core.recipe.distil import Lora


def gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_merged_equals_unmerged_and_leaves_an_ordinary_model(kind: str, teacher: Loaded) -> None:
    model = teacher.model if kind == "llama" else gpt2()
    names = [n for n, _ in model.named_parameters()]
    ids = torch.arange(2, 34)[None]
    with torch.no_grad():
        plain = model(ids).logits
        count = add_lora(model, Lora(rank=4, alpha=8), seed=3)
        assert torch.equal(model(ids).logits, plain), "new adapters must change nothing"
        learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
        assert len(learning) == 2 * count and all("lora_" in n for n in learning)
        for parameter in learning.values():
            parameter.normal_(std=0.05)
        adapted = model(ids).logits
        merge_lora(model)
        merged = model(ids).logits
    assert not torch.allclose(adapted, plain, atol=1e-3)
    assert torch.allclose(merged, adapted, atol=2e-5)
    assert [n for n, _ in model.named_parameters()] == names


def test_named_modules_only(teacher: Loaded) -> None:
    assert add_lora(teacher.model, Lora(modules=("q_proj", "v_proj")), seed=0) == 8


def test_unknown_modules_are_refused_with_the_known_ones(teacher: Loaded) -> None:
    with pytest.raises(RetortError, match="Choose among: down_proj, gate_proj"):
        add_lora(teacher.model, Lora(modules=("c_attn",)), seed=0)
