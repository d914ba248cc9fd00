"""What is known about architectures, and what is said about unknown ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from core.base.errors import RetortError
from core.engine.models.architectures import adapter_for
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.prune.surgery import Keep, count_parameters, cut
from tests.engine.models.zoo import CONFIGS, GROUPED, MOE, ids, output, tiny


@pytest.fixture(scope="module")
def fresh() -> Iterator[ReloadProcess]:
    with ReloadProcess() as process:
        yield process


def test_an_unknown_architecture_is_refused_by_name() -> None:
    config = transformers.CodeGenConfig(n_embd=16, n_layer=1, n_head=4, rotary_dim=4, vocab_size=32)
    with pytest.raises(RetortError, match="'codegen'") as refused:
        adapter_for(transformers.CodeGenForCausalLM(config))
    assert "magnitude" in refused.value.remedy


def test_a_tensor_without_a_place_is_refused_by_name() -> None:
    model = tiny("llama")
    model.model.layers[1].mlp.extra = nn.Linear(48, 3)
    with pytest.raises(RetortError, match=r"model\.layers\.1\.mlp\.extra\.weight"):
        adapter_for(model)


def test_a_shape_the_config_does_not_explain_is_refused() -> None:
    model = tiny("llama")
    model.model.layers[2].mlp.up_proj.weight = nn.Parameter(torch.zeros(39, 48))
    with pytest.raises(RetortError, match=r"model\.layers\.2\.mlp\.up_proj\.weight"):
        adapter_for(model)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "number of each layer"),
        ("opt", {"word_embed_proj_dim": 32}, "another width"),
        ("bert", {"is_decoder": True, "add_cross_attention": True}, "second model"),
    ],
)
def test_variants_that_cannot_be_cut_say_why(name: str, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(RetortError, match=reason):
        adapter_for(tiny(name, **changes))


@pytest.mark.parametrize("name", CONFIGS)
def test_counting_agrees_with_the_model_that_is_built(name: str) -> None:
    model = tiny(name)
    architecture = adapter_for(model)
    keep = smaller(name, model)
    counts = count_parameters(model, architecture, keep.sizes(architecture), keep.layers)
    assert counts.total == sum(p.numel() for p in cut(model, architecture, keep).parameters())


def test_layer_types_stay_in_step() -> None:
    model = tiny("gemma3")
    new = cut(model, adapter_for(model), Keep([1, 2, 3]))
    assert new.config.layer_types == ["full_attention", "sliding_attention", "full_attention"]
    assert [block.self_attn.is_sliding for block in new.model.layers] == [False, True, False]
    assert [block.self_attn.layer_idx for block in new.model.layers] == [0, 1, 2]
    assert model.config.layer_types == ["sliding_attention", "full_attention"] * 2


def test_layers_with_experts_stay_layers_with_experts() -> None:
    """Qwen2-MoE here has experts in every second layer: 1 and 3. After removing layer 0 they are 0 and 2."""
    model = tiny("qwen2-moe")
    new = cut(model, adapter_for(model), Keep([1, 2, 3]))
    assert [hasattr(block.mlp, "experts") for block in new.model.layers] == [True, False, True]


def test_head_dim_is_written_down_once_it_no_longer_follows() -> None:
    model = tiny("qwen2")  # its config has no head_dim: 48 / 6 = 8
    keep = Keep([0, 1, 2, 3], units={"heads": [torch.tensor([0, 1, 3, 4])] * 4, "kv_heads": [torch.arange(2)] * 4})
    new = cut(model, adapter_for(model), keep)
    assert new.config.head_dim == 8 and new.config.num_attention_heads == 4


def test_the_dense_model_is_untouched() -> None:
    model = tiny("llama")
    before, config = output(model, ids()), model.config.to_dict()
    new = cut(model, adapter_for(model), Keep([0, 3], hidden=torch.arange(36)))
    with torch.no_grad():
        for p in new.parameters():
            p.zero_()
    assert torch.equal(output(model, ids()), before) and model.config.to_dict() == config


def smaller(name: str, model: transformers.PreTrainedModel) -> Keep:
    """Two layers fewer and less of everything the architecture can lose."""
    keep = Keep([0, 1, 3])
    if name in MOE:
        keep.units["experts"] = [torch.tensor([0, 2, 3, 5])] * 3
    else:
        keep.units["neurons"] = [torch.arange(8, 32)] * 3
    if name in GROUPED:
        keep.units |= {"heads": [torch.tensor([0, 2, 3, 5])] * 3, "kv_heads": [torch.arange(2)] * 3}
        keep.hidden = torch.arange(4, 40)
    else:
        keep.units["heads"] = [torch.tensor([0, 2, 3, 5])] * 3
        keep.hidden = torch.arange(8, 40)
    return keep


FAST = ("llama", "bert-classifier")


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in CONFIGS])
def test_saved_and_loaded_in_a_fresh_process(name: str, fresh: ReloadProcess, tmp_path: Path) -> None:
    """Layers, heads, channels and neurons or experts gone: plain transformers gives the same logits and tokens."""
    model = tiny(name)
    new = cut(model, adapter_for(model), smaller(name, model))
    tied = new.get_output_embeddings() is not None and model.config.tie_word_embeddings
    save_model(new, None, tmp_path / "out", {"Name": name})
    result = fresh.check(tmp_path / "out", ids(), output(new, ids()), prompt=6, new_tokens=12)
    assert result.max_logit_difference <= 1e-5
    assert result.cached_equals_uncached is (True if name in CAUSAL_HEADS else None)
    if tied:
        again = type(new).from_pretrained(tmp_path / "out")
        assert again.get_output_embeddings().weight.data_ptr() == again.get_input_embeddings().weight.data_ptr()


CAUSAL_HEADS = {n for n, (kind, _, _) in CONFIGS.items() if kind.__name__.endswith(("ForCausalLM", "LMHeadModel"))}
