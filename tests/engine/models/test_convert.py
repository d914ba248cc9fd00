"""GGUF conversion and the mixture-of-experts sample, checked on the functions the models compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.errors import RetortError
from core.base.settings import Settings
from core.engine.models.convert import convert_gguf, main
from core.engine.models.moe_sample import make_moe

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(source: Path, path: Path, pre: str = "gpt-2", poison: bool = False) -> Any:
    """Writes a Llama folder as GGUF, as llama.cpp's converter does, with Q8_0 weights; returns the model."""
    model = AutoModelForCausalLM.from_pretrained(source)
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokenizer = json.loads((source / "tokenizer.json").read_text())["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    tokens += [f"<unused{i}>" for i in range(config.vocab_size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t.startswith("<|") or t.startswith("<unused") else 1 for t in tokens])
    writer.add_token_merges([" ".join(m) for m in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    for name, value in model.model.named_parameters():
        array = value.detach().numpy()
        if poison and name.endswith("norm.weight"):
            array = np.full_like(array, np.nan)
        writer.add_tensor(*_stored(name, array, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _stored(name: str, array: Any, config: Any) -> tuple[Any, ...]:
    if name == "embed_tokens.weight":
        return ("token_embd.weight", array)
    if name == "norm.weight":
        return ("output_norm.weight", array)
    _, index, rest = name.split(".", 2)
    stem = rest.removesuffix(".weight")
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(stem.split(".")[-1])
    if heads:  # llama.cpp interleaves the two halves of each rotary pair
        rows = array.reshape(heads, 2, array.shape[0] // heads // 2, array.shape[1])
        array = rows.swapaxes(1, 2).reshape(array.shape)
    return (f"blk.{index}.{NAMES[stem]}.weight", np.ascontiguousarray(array))


@pytest.fixture(scope="module")
def converted(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("gguf")
    model = write_gguf(tiny_llama, folder / "model.gguf")
    assert main([str(folder / "model.gguf"), str(folder / "out")]) == 0
    return model, folder / "out"


def test_converted_model_computes_the_same(converted: tuple[Any, Path]) -> None:
    model, folder = converted
    found, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = torch.randint(0, 384, (2, 40), generator=torch.Generator().manual_seed(0))
    expected = model.bfloat16().float()(ids).logits  # stored in bfloat16
    torch.testing.assert_close(found(ids).logits, expected, atol=1e-5, rtol=1e-4)


def test_converted_model_is_tied_and_safe(converted: tuple[Any, Path]) -> None:
    model, folder = converted
    found = AutoModelForCausalLM.from_pretrained(folder)
    assert found.dtype == torch.bfloat16
    assert found.lm_head.weight.data_ptr() == found.get_input_embeddings().weight.data_ptr()
    assert sum(p.numel() for p in found.parameters()) == sum(p.numel() for p in model.parameters())
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert not list(folder.glob("*.bin")) and (folder / "generation_config.json").is_file()


def test_converted_tokenizer_keeps_words_template_and_limit(
    converted: tuple[Any, Path], tiny_llama: Path, tiny_text: str
) -> None:
    _, folder = converted
    source, found = AutoTokenizer.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(folder)
    assert found(tiny_text, verbose=False)["input_ids"] == source(tiny_text, verbose=False)["input_ids"]
    assert found.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "Hi"
    assert found.model_max_length == 256 and found.eos_token_id == 0
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_digits_are_cut_first_only_where_the_file_says_so(
    converted: tuple[Any, Path], tiny_llama: Path, tmp_path: Path
) -> None:
    write_gguf(tiny_llama, tmp_path / "model.gguf", pre="smollm")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
    whole, single = (AutoTokenizer.from_pretrained(f).backend_tokenizer for f in (converted[1], tmp_path / "out"))
    assert [piece for piece, _ in single.pre_tokenizer.pre_tokenize_str("a 42")] == ["a", "Ġ", "4", "2"]
    assert [piece for piece, _ in whole.pre_tokenizer.pre_tokenize_str("a 42")] == ["a", "Ġ42"]


def test_weights_that_are_no_numbers_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    write_gguf(tiny_llama, tmp_path / "model.gguf", poison=True)
    with pytest.raises(RetortError, match="are not all numbers"):
        convert_gguf(tmp_path / "model.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_ends_in_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    assert main([str(tmp_path / "model.gguf"), str(tmp_path / "out")]) == 1
    shown = capfd.readouterr().err
    assert "cannot be read as a language model" in shown.strip().splitlines()[-1] and "Traceback" not in shown


def test_the_mixture_computes_what_its_source_computes(tiny_llama: Path, tmp_path: Path) -> None:
    count = make_moe(tiny_llama, tmp_path / "moe")
    dense, moe = (AutoModelForCausalLM.from_pretrained(f) for f in (tiny_llama, tmp_path / "moe"))
    ids = torch.randint(0, 384, (2, 40), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moe(ids).logits, dense(ids).logits, atol=1e-5, rtol=1e-4)
    mlp = sum(p.numel() for n, p in dense.named_parameters() if ".mlp." in n)
    routers = 4 * 4 * 32  # layers, experts, hidden
    total = sum(p.numel() for p in dense.parameters()) + 3 * mlp + routers
    assert count == total == sum(p.numel() for p in moe.parameters())


def test_the_mixture_really_routes(tiny_llama: Path, tmp_path: Path) -> None:
    make_moe(tiny_llama, tmp_path / "moe")
    moe = AutoModelForCausalLM.from_pretrained(tmp_path / "moe")
    out = moe(torch.arange(200)[None], output_router_logits=True)
    chosen = torch.cat([logits.topk(2, -1).indices for logits in out.router_logits])
    assert chosen.unique().tolist() == [0, 1, 2, 3]


def test_a_mixture_is_made_of_llamas_only(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(RetortError, match="not from 'gpt2'"):
        make_moe(tmp_path / "gpt2", tmp_path / "moe")


@pytest.mark.sample
@pytest.mark.slow
def test_the_converted_sample_predicts_text(sample_home: Settings) -> None:
    """Plain transformers, an own loss: a first evaluation passage is far from surprising."""
    from core.catalogue.wiki import read_part

    folder = sample_home.samples / "smollm2-135m"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    text = "\n\n".join(read_part(sample_home.samples / "wiki", "evaluation")[:8])
    ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :512]
    with torch.no_grad():
        logits = model(ids).logits[0, :-1].float()
    loss = -logits.log_softmax(-1).gather(1, ids[0, 1:, None]).mean()
    assert 1.5 < float(loss) < 3.5  # 10.8 is a uniform guess
