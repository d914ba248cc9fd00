"""int8 weights: what torchao packs is what is counted, saved, reloaded elsewhere and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.profiler import profile
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.measure.size import size_measurements
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.prune.quantise import quantise
from core.recipe.results import Result
from tests.engine.conftest import Memory

MATRICES = 4 * 7  # of the tiny Llama: four layers of q, k, v, o, gate, up, down


def value(result: Result, metric: str) -> float:
    return next(m.value for m in result.measurements if m.metric == metric)


def test_the_weights_are_the_nearest_of_255_steps_a_row_and_the_products_integer(tiny_llama: Path) -> None:
    loaded, report = quantise(tiny_llama, "float32", InMemoryReporter())
    stored = load_file(tiny_llama / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    dense = stored[name]  # (out, in)
    found = loaded.model.get_parameter(name).dequantize()
    step = dense.abs().amax(dim=1, keepdim=True) / 127.5  # symmetric over -128 .. 127
    assert (found - dense).abs().le(step * 0.75).all()
    assert torch.equal(loaded.model.get_input_embeddings().weight, stored["model.embed_tokens.weight"])
    assert report.facts["packed_matrices"] == MATRICES
    with profile() as seen, torch.inference_mode():
        loaded.model(torch.arange(8)[None])
    products = [e.count for e in seen.key_averages() if e.key == "aten::_int_mm"]
    assert products == [MATRICES]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fresh_process_reloads_it_and_the_sizes_are_true(tiny_llama: Path, tmp_path: Path, dtype: str) -> None:
    loaded, _ = quantise(tiny_llama, dtype, InMemoryReporter())
    folder = tmp_path / "model"
    save_model(loaded.model, loaded.tokenizer, folder, {})
    ids = torch.arange(24)[None]
    with ReloadProcess() as fresh, torch.inference_mode():
        trip = fresh.check(folder, ids, loaded.model(ids).logits)
    assert trip.max_logit_difference <= 1e-5
    assert trip.cached_equals_uncached
    assert "torchao" in (folder / "README.md").read_text()

    found = {m.metric: m for m in size_measurements(loaded.model, folder)}
    weights = 4 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)
    rows = 4 * (32 + 16 + 16 + 32 + 64 + 64 + 32)
    other = 384 * 32 + 9 * 32
    width = 4 if dtype == "float32" else 2
    assert found["parameters"].value == weights + other
    plain = other * width + weights + rows * (4 + 1)  # a float32 scale and an int8 zero point a row
    buffers = sum(b.numel() * b.element_size() for b in loaded.model.buffers())
    assert found["memory_bytes"].value == plain + buffers
    assert plain <= found["disk_bytes"].value <= plain + 60_000  # the rest is the header
    packed = [m.weight for m in loaded.model.modules() if hasattr(getattr(m, "weight", None), "qdata")]
    zeros = sum(int((w.dequantize() == 0).sum()) for w in packed)
    assert found["sparsity_pruned"].value == pytest.approx(100 * zeros / weights)


@pytest.mark.slow
def test_pruned_quantised_and_both_stand_beside_each_other(run: Callable[..., Memory], model: Path) -> None:
    done = run(
        model,
        {"step": "quantise", "of": "baseline"},
        {"step": "evaluate"},
        {"step": "measure"},
        {"step": "prune", "method": "magnitude", "sparsity": 0.5},
        {"step": "evaluate"},
        {"step": "quantise"},
        {"step": "evaluate"},
        {"step": "measure"},
    )
    dense, packed, pruned, both = (done.results[t.key] for t in done.trials)
    assert [t.method for t in done.trials] == ["dense", "quantise", "magnitude", "quantise"]
    assert (packed.parent, pruned.parent, both.parent) == (None, None, pruned.key)
    assert both.label == f"{pruned.label} + int8 weights"
    assert value(packed, "disk_bytes") < 0.6 * value(dense, "disk_bytes") + 60_000
    assert value(packed, "sparsity_pruned") < 5 < 49 < value(both, "sparsity_pruned")
    assert abs(value(packed, "perplexity") / value(dense, "perplexity") - 1) < 0.05
    paired = {"loss_change", "kl_to_teacher", "top1_agreement"}
    assert {m.metric for m in packed.measurements} == {m.metric for m in dense.measurements} | paired
    assert json.loads((done.run_folder / "result.json").read_text())["candidate"] == both.key
    before = list(done.started)
    run(model, *[s.model_dump() for s in _steps(done)], hooks=done)
    assert done.started == before, "finished stages are found again"


def _steps(done: Memory) -> list[object]:
    from core.recipe.recipe import Recipe

    return list(Recipe.model_validate(next(iter(done.results.values())).recipe).steps)


def test_a_model_torchao_would_leave_alone_is_refused_before_any_work(
    run: Callable[..., Memory], model: Path, home: object
) -> None:
    GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=384, n_positions=64)).save_pretrained(
        gpt2 := model.with_name("gpt2")
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (gpt2 / name).write_bytes((model / name).read_bytes())
    hooks = Memory(home)  # type: ignore[arg-type]
    with pytest.raises(RetortError, match="Conv1D"):
        run(gpt2, {"step": "quantise"}, {"step": "evaluate"}, hooks=hooks)
    assert hooks.trials == []


def test_packed_weights_load_with_plain_transformers_here_too(tiny_llama: Path, tmp_path: Path) -> None:
    loaded, _ = quantise(tiny_llama, "float32", InMemoryReporter())
    save_model(loaded.model, loaded.tokenizer, tmp_path / "m", {})
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    ids = torch.arange(10)[None]
    with torch.inference_mode():
        assert torch.equal(again(ids).logits, loaded.model(ids).logits)
