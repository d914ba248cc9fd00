"""ONNX with fewer bits: by-hand rounding, and the example of the folder in a process without Retort or PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.export.write import export
from core.registry.formats import EXPORTS

TEXT = "oil prices rose"
WATCHED = (
    "import sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
    "print(sorted({'torch', 'transformers', 'core'} & set(sys.modules)))"
)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=384, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=3
    )
    config.id2label, config.label2id = {0: "acq", 1: "earn", 2: "ship"}, {"acq": 0, "earn": 1, "ship": 2}
    folder = tmp_path_factory.mktemp("classifier") / "model"
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(40)  # far enough apart that rounding changes no class
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_llama / name).read_bytes())
    return folder


def example(folder: Path, text: str, *code: str) -> list[str]:
    """The lines the folder's example prints, in a fresh process started elsewhere."""
    command = [sys.executable, "-I", *code, str(folder / "example.py"), text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_int8_weights_are_rounded_as_by_hand_and_the_example_names_the_class(classifier: Path, tmp_path: Path) -> None:
    facts = export(EXPORTS["onnx-int8"], classifier, tmp_path / "out", "x", InMemoryReporter())
    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer}
    whole = {name: values for name, values in stored.items() if values.dtype == np.uint8 and values.ndim == 2}
    assert len(whole) == 8, "four of attention, two of the MLP, the pooler and the head"
    weights = [p.detach().numpy().T for n, p in model.named_parameters() if p.dim() == 2 and "embeddings" not in n]
    for name, q in whole.items():
        base = name.removesuffix("_quantized")
        scale, zero = stored[f"{base}_scale"], stored[f"{base}_zero_point"]
        values = (q.astype(np.float64) - zero) * scale  # (in, out)
        (w,) = [w for w in weights if w.shape == values.shape and np.abs(w - values).max() <= scale.max()]
        low, high = np.minimum(w.min(0), 0), np.maximum(w.max(0), 0)  # a column's range, nought included
        assert np.allclose(scale, (high - low) / 255, rtol=1e-5) and np.abs(w - values).max() <= scale.max() * 0.501
    assert 0.0 < facts["relative_error"] <= 0.02 and 0.5 <= facts["same_first_choice"] <= 1.0
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    with torch.inference_mode():
        logits = model(**tokenizer(TEXT, return_tensors="pt")).logits[0]
    assert example(tmp_path / "out", TEXT) == [["acq", "earn", "ship"][int(logits.argmax())]]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == {
        "0": "acq",
        "1": "earn",
        "2": "ship",
    }


@pytest.mark.slow
def test_float16_weights_and_the_example_writes_on(tiny_llama: Path, tmp_path: Path) -> None:
    facts = export(EXPORTS["onnx-float16"], tiny_llama, tmp_path / "out", "x", InMemoryReporter())
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    rounded: Any = AutoModelForCausalLM.from_pretrained(tiny_llama).half().float().eval()
    ids = torch.arange(20)[None]
    running = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    (found,) = running.run(None, {"input_ids": ids.numpy(), "attention_mask": np.ones_like(ids.numpy())})
    with torch.inference_mode():
        exact, half = model(ids).logits.numpy(), rounded(ids).logits.numpy()
    assert found.dtype == np.float16 and np.abs(found - exact).max() > 0.0
    assert np.abs(found - half).max() <= 2e-3 * np.abs(half).max()
    weights = (tmp_path / "out" / "model.onnx.data").stat().st_size
    assert weights <= 0.6 * sum(p.numel() * 4 for p in model.parameters()) and facts["weights"] == "float16"
    text, watched = example(tmp_path / "out", "the cat", "-c", WATCHED)
    assert text.startswith("the cat") and len(text) > len("the cat")
    assert watched == "[]", "the example needs neither PyTorch nor Retort"


def test_numbers_too_large_for_float16_are_refused(tmp_path: Path, tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        model.lm_head.weight.fill_(7e4)  # float16 ends at 65,504
    model.save_pretrained(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_bytes((tiny_llama / name).read_bytes())
    with pytest.raises(RetortError, match="With float16 weights the graph's output is not a number any more"):
        export(EXPORTS["onnx-float16"], tmp_path / "model", tmp_path / "out", "x", InMemoryReporter())
    assert not (tmp_path / "out").exists()
