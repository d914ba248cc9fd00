"""ONNX graphs: run in ONNX Runtime on sizes and masks the graph was not traced with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.export.same_function import largest_difference
from core.engine.export.write import export
from core.registry.formats import EXPORTS


@pytest.mark.slow
def test_a_llama_runs_in_onnx_runtime_at_any_length_and_batch(tmp_path: Path, tiny_llama: Path) -> None:
    facts = export(EXPORTS["onnx"], tiny_llama, tmp_path / "out", "x", InMemoryReporter())
    assert facts["max_logit_difference"] <= 1e-5 and facts["key_value_cache"] is False
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    for batch, tokens in ((1, 1), (2, 100)):
        ids = torch.arange(batch * tokens).view(batch, tokens) % 384
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": np.ones_like(ids.numpy())})
        with torch.inference_mode():
            assert np.abs(found - model(ids).logits.numpy()).max() <= 1e-5
    assert (tmp_path / "out" / "tokenizer.json").is_file()


@pytest.mark.slow
def test_a_classifier_gives_its_classes(tmp_path: Path, tiny_llama: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=384, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=3
    )
    folder = tmp_path / "model"
    BertForSequenceClassification(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_llama / name).read_bytes())
    facts = export(EXPORTS["onnx"], folder, tmp_path / "out", "x", InMemoryReporter())
    assert facts["max_logit_difference"] <= 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = np.arange(12, dtype=np.int64).reshape(2, 6)
    assert session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0].shape == (2, 3)


def test_another_function_is_no_export() -> None:
    expected = torch.tensor([[[1.0, -2.0], [3.0, 4.0]]])
    assert largest_difference("x", expected + 1e-4, expected) == pytest.approx(1e-4, rel=1e-2)
    masked = torch.tensor([[1, 0]])
    wrong = expected.clone()
    wrong[0, 1, 0] = 9.0
    assert largest_difference("x", wrong, expected, masked) == 0.0
    for bad in (wrong, expected * float("nan"), expected[:, :1]):
        with pytest.raises(RetortError, match="Nothing was exported"):
            largest_difference("x", bad, expected)
