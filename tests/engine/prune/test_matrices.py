"""Which matrices are found, in which orientation, and what is left out."""

import pytest
import torch
from torch import nn

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.matrices import family, find_stacks, prunable, unknown_parts
from core.engine.prune.apply import prune_weights
from core.recipe.recipe import Prune
from tests.engine.prune.tiny import FAMILIES, tiny

EXPECTED = {"llama": 7, "gemma3": 7, "gpt2": 4, "neox": 4, "opt": 6, "bert": 6, "distilbert": 6, "mixtral": 4 + 2 * 4}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_linear_of_every_block_and_nothing_else(name: str) -> None:
    model = tiny(name)
    found = prunable(model)
    ((prefix, blocks),) = find_stacks(model)
    assert len(blocks) == 3
    assert [m.block_index for m in found] == sorted(m.block_index for m in found)
    assert all(sum(m.block_index == i for m in found) == EXPECTED[name] for i in range(3))
    assert all(m.name.startswith(f"{prefix}.{m.block_index}.") for m in found)
    assert len({m.name for m in found}) == len(found)
    inside = sum(p.numel() for p in blocks.parameters() if p.dim() > 1)
    routers = sum(p.numel() for n, p in blocks.named_parameters() if n.endswith("mlp.gate.weight"))
    assert sum(m.numel() for m in found) == inside - routers


def test_conv1d_reads_and_writes_transposed() -> None:
    model = tiny("gpt2")
    matrix = next(m for m in prunable(model) if m.part == "mlp.c_fc")
    stored = matrix.module.weight  # (in, out)
    assert matrix.shape == (128, 32) and stored.shape == (32, 128)
    x = torch.randn(3, 32)
    torch.testing.assert_close(matrix.module(x), x @ matrix.read().T + matrix.module.bias)
    changed = torch.randn(128, 32)
    matrix.write(changed)
    assert torch.equal(stored.detach(), changed.T)


def test_one_matrix_per_expert_and_projection() -> None:
    model = tiny("mixtral")
    experts = [m for m in prunable(model) if m.block_index == 1 and m.expert is not None]
    assert [m.part for m in experts[:2]] == ["mlp.experts.gate_up_proj.0", "mlp.experts.gate_up_proj.1"]
    down = experts[-1]
    before = model.model.layers[1].mlp.experts.down_proj.detach().clone()
    down.write(torch.zeros(down.shape))
    after = model.model.layers[1].mlp.experts.down_proj
    assert torch.equal(after[:3], before[:3]) and not after[3].any()
    parts = list(dict.fromkeys(family(m) for m in prunable(model)))
    assert parts[-2:] == ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"], "experts count as one"


def test_read_is_a_copy_in_float32() -> None:
    matrix = prunable(tiny("llama").to(torch.bfloat16))[0]
    copy = matrix.read()
    assert copy.dtype == torch.float32
    copy.zero_()
    assert matrix.stored.any()


class Unknown(nn.Module):
    """An architecture nobody has seen: two kinds of lists, other names."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))  # bare layers are no blocks
        self.tower = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2))
        self.head = nn.Linear(8, 4)


def test_unknown_architectures_need_no_adapter() -> None:
    ((name, blocks),) = find_stacks(Unknown())
    assert name == "tower" and len(blocks) == 2
    assert [m.name for m in prunable(Unknown())] == ["tower.0.0", "tower.0.2", "tower.1.0", "tower.1.2"]


def test_hybrid_blocks_of_several_kinds() -> None:
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4)), nn.TransformerEncoderLayer(4, 1, 8)])
    assert find_stacks(model)[0][0] == "layers"


def test_experts_stored_in_an_unknown_way_are_said() -> None:
    from transformers import Llama4ForCausalLM, Llama4TextConfig

    size = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    config = Llama4TextConfig(
        vocab_size=97,
        num_hidden_layers=2,
        intermediate_size=48,
        intermediate_size_mlp=48,
        num_local_experts=4,
        num_experts_per_tok=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **size,
    )
    model = Llama4ForCausalLM(config)
    assert unknown_parts(model) == ["feed_forward.experts.gate_up_proj", "feed_forward.experts.down_proj"]
    report = prune_weights(model, Prune(method="magnitude", sparsity=0.5), None, InMemoryReporter())
    assert any("feed_forward.experts.down_proj stayed dense" in note for note in report.notes)
    assert all(unknown_parts(tiny(name)) == [] for name in FAMILIES)


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(RetortError, match="no repeated layers"):
        prunable(nn.Sequential(nn.Linear(4, 4)))


def test_a_decoder_is_counted_on_from_its_encoder() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_decoder_layers=2, num_heads=2)
    model = T5ForConditionalGeneration(config)
    assert [name for name, _ in find_stacks(model)] == ["encoder.block", "decoder.block"]
    found = prunable(model)
    assert [sum(m.block_index == i for m in found) for i in range(3)] == [6, 10, 10]  # a decoder attends twice
    assert {m.name for m in found} >= {
        "encoder.block.0.layer.0.SelfAttention.q",
        "decoder.block.1.layer.2.DenseReluDense.wo",
    }
