"""config.json says what readers older than transformers 5 look for, and transformers 5 still reads the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from core.engine.models.architectures import adapter_for
from core.engine.models.load import load_model
from core.engine.models.older_readers import with_older_keys
from core.engine.models.save import save_model
from core.engine.prune.surgery import Keep, cut
from tests.engine.models.wild import ROPES, edit, stretched
from tests.engine.models.zoo import CONFIGS, ids, output, tiny


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"model_type": "qwen3_moe", "num_local_experts": 6}, {"num_experts": 6}),
        ({"model_type": "mixtral", "num_local_experts": 6}, {}),
        (
            {
                "model_type": "llama",
                "dtype": "bfloat16",
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            },
            {"rope_theta": 1e6, "torch_dtype": "bfloat16"},
        ),
        (
            {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}},
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2.0}},
        ),
        (
            {
                "model_type": "gemma3_text",
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                },
            },
            {
                "rope_theta": 1e6,
                "rope_local_base_freq": 1e4,
                "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 8.0},
            },
        ),
        (
            {
                "model_type": "modernbert",
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": 16e4},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
                },
            },
            {"global_rope_theta": 16e4, "local_rope_theta": 2e4},
        ),
        (
            {
                "model_type": "gpt_neox",
                "rope_parameters": {"rope_type": "default", "rope_theta": 3e4, "partial_rotary_factor": 0.25},
            },
            {"rope_theta": 3e4, "rotary_emb_base": 3e4, "rotary_pct": 0.25},
        ),
        (
            {
                "model_type": "phi",
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
            },
            {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
        ),
        (
            {
                "model_type": "phi3",
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "short_factor": [1.0],
                    "long_factor": [2.0],
                    "original_max_position_embeddings": 4096,
                },
            },
            {
                "rope_theta": 1e4,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
            },
        ),
        ({"model_type": "gpt2"}, {}),
        ({"model_type": "llama", "rope_parameters": None}, {}),
    ],
)
def test_the_older_keys(config: dict[str, Any], keys: dict[str, Any]) -> None:
    assert with_older_keys(config) == {**config, **keys}


def test_nested_configs_get_them_too_and_what_is_there_stays() -> None:
    inner = {"model_type": "llama", "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}, "rope_theta": 7}
    assert with_older_keys({"text_config": inner}) == {"text_config": inner}
    del inner["rope_theta"]
    assert with_older_keys({"text_config": inner})["text_config"]["rope_theta"] == 7.0


@pytest.mark.parametrize("name", ROPES)
def test_transformers_5_reads_its_own_positions_back(name: str, tmp_path: Path) -> None:
    model = stretched(name)
    tokens = torch.randint(3, 96, (2, 60), generator=torch.Generator().manual_seed(2))
    save_model(model, None, tmp_path / "out", {})
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert {k: v for k, v in again.config.rope_parameters.items() if k != "type"} == model.config.rope_parameters
    assert torch.equal(output(again, tokens), output(model, tokens))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["rope_theta"] == 50_000.0


@pytest.mark.parametrize("name", [n for n in CONFIGS if n.startswith(("gemma3", "llama", "gpt2", "bert", "gpt-neox"))])
def test_what_is_said_of_the_head_is_what_was_stored(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    save_model(model, None, tmp_path / "out", {})
    said = json.loads((tmp_path / "out" / "config.json").read_text())
    head = model.get_output_embeddings()
    if head is None:
        return
    assert said["tie_word_embeddings"] is (head.weight is model.get_input_embeddings().weight)


def test_a_published_config_keeps_its_base_after_a_run(tiny_llama: Path, tmp_path: Path) -> None:
    """As published models state it: at the top, and nowhere else."""
    model = LlamaForCausalLM.from_pretrained(tiny_llama)
    model.save_pretrained(tmp_path / "in")
    for file in tiny_llama.glob("tokenizer*"):
        (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    edit(tmp_path / "in", drop=("rope_parameters",), rope_theta=1e6)
    loaded = load_model(tmp_path / "in", "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["rope_theta"] == 1e6 and written["rope_parameters"]["rope_theta"] == 1e6
    assert written["torch_dtype"] == written["dtype"] == "float32"
    assert AutoConfig.from_pretrained(tmp_path / "out").rope_parameters == loaded.model.config.rope_parameters


PUBLISHED = {
    "mixtral": "model.layers.0.block_sparse_moe.experts.3.w2.weight",
    "qwen2-moe": "model.layers.1.mlp.experts.3.gate_proj.weight",
    "qwen3-moe": "model.layers.0.mlp.experts.3.up_proj.weight",
    "gpt-neox": "embed_out.weight",
}
"""A tensor by the name under which models of the family are published."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensors_have_the_names_their_family_is_published_with(name: str, tmp_path: Path) -> None:
    """After layers are cut out, after that is loaded again, and when it is loaded from transformers' own names."""
    model = tiny(name)
    new = cut(model, adapter_for(model), Keep([0, 1, 3]))
    expected = output(new, ids())
    save_model(new, None, tmp_path / "cut", {})
    for step in ("cut", "again"):
        stored = load_file(tmp_path / step / "model.safetensors")
        assert PUBLISHED[name] in stored and not [n for n in stored if n.endswith("experts.gate_up_proj")]
        again = type(new).from_pretrained(tmp_path / step).eval()
        assert torch.equal(output(again, ids()), expected)
        save_model(again, None, tmp_path / "again", {})
    new.save_pretrained(tmp_path / "own", save_original_format=False)
    own = type(new).from_pretrained(tmp_path / "own").eval()
    save_model(own, None, tmp_path / "published", {})
    assert PUBLISHED[name] in load_file(tmp_path / "published" / "model.safetensors")
