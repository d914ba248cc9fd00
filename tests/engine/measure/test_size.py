"""Sizes against counts made by hand, and against the files really written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from core.base.errors import RetortError
from core.engine.measure.memory import peak_memory
from core.engine.measure.size import disk_bytes, size_measurements


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


EMBEDDING = 384 * 32
MATRICES = 4 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)
NORMS = 4 * 2 * 32 + 32


def values(model: Any, folder: Path | None = None) -> dict[str, float]:
    return {m.metric: m.value for m in size_measurements(model, folder)}


def test_tied_embeddings_are_counted_once(model: Any) -> None:
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert values(model)["parameters"] == EMBEDDING + MATRICES + NORMS


def test_storage_shared_by_different_parameters_is_counted_once(model: Any) -> None:
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.data)
    assert values(model)["parameters"] == EMBEDDING + MATRICES + NORMS
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.data.clone())
    assert values(model)["parameters"] == 2 * EMBEDDING + MATRICES + NORMS


def test_the_three_denominators_differ(model: Any) -> None:
    with torch.no_grad():
        model.model.embed_tokens.weight[0] = 1.0  # the padding token's row starts as zeros
        for layer in model.model.layers:
            layer.mlp.up_proj.weight[::2] = 0.0
    found = values(model)
    zeros = 4 * 32 * 64 / 2
    assert found["nonzero_parameters"] == EMBEDDING + MATRICES + NORMS - zeros
    assert found["sparsity_pruned"] == pytest.approx(100 * zeros / MATRICES)
    assert found["sparsity_model"] == pytest.approx(100 * zeros / (EMBEDDING + MATRICES + NORMS))


def test_memory_is_parameters_and_buffers_in_their_own_dtype(model: Any) -> None:
    buffers = sum(b.numel() * b.element_size() for b in {b.data_ptr(): b for b in model.buffers()}.values())
    weights = EMBEDDING + MATRICES + NORMS
    assert values(model)["memory_bytes"] == weights * 4 + buffers
    half = model.to(torch.bfloat16)
    assert weights * 2 <= values(half)["memory_bytes"] <= weights * 2 + buffers


def test_disk_counts_weight_files_and_zeros_do_not_shrink_them(model: Any, tiny_llama: Path, tmp_path: Path) -> None:
    before = values(model, tiny_llama)["disk_bytes"]
    with safe_open(tiny_llama / "model.safetensors", "pt") as f:
        stored = sum(f.get_tensor(k).numel() * 4 for k in f.keys())  # noqa: SIM118
    assert stored < before < stored + 10_000
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight.zero_()
    model.save_pretrained(tmp_path / "pruned")
    assert values(model, tmp_path / "pruned")["disk_bytes"] == pytest.approx(before, abs=64)
    weights, everything = disk_bytes(tiny_llama)
    assert weights == before and everything > weights


def test_a_folder_without_weights_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(RetortError, match="holds no weight file"):
        size_measurements(model, tmp_path)


def test_peak_memory_says_what_it_includes() -> None:
    m = peak_memory(123, dtype="bfloat16", settings={"new_tokens": 8})
    assert (m.metric, m.value, m.unit, m.obtained) == ("peak_memory_bytes", 123.0, "B", "measured")
    assert "fresh process" in m.settings["how"] and m.settings["new_tokens"] == 8
