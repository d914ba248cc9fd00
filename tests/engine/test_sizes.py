"""One size for one model, wherever it is told: the files that hold the weights, as the file system counts them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from core.catalogue.anatomy import anatomy
from core.engine.measure.size import disk_bytes
from core.recipe.recipe import Prune, Target
from core.recipe.results import Result
from core.registry.formats import EXPORTS
from core.registry.measurement import find_metric
from core.registry.metrics import METRICS
from tests.engine.conftest import Memory


def told(result: Result) -> tuple[float, float]:
    """Bytes of the weights, and of the whole folder."""
    found = find_metric(result.measurements, "disk_bytes")
    assert found is not None and found.settings["of"] == "weight files"
    return found.value, found.settings["with_tokenizer_and_config"]


def test_metric_anatomy_and_export_count_the_same_files(run: Callable[..., Memory], model: Path) -> None:
    (model / "consolidated.safetensors").write_bytes(b"transformers does not load this one")
    done = run(
        model,
        {"step": "prune", "method": "block_influence", "target": {"remove_layers": 1}},
        {"step": "measure"},
        {"step": "export"},
        {"step": "export", "format": "gguf"},
    )
    dense, smaller = (done.results[t.key] for t in done.trials)
    assert anatomy(model).disk_bytes == told(dense)[0] == (model / "model.safetensors").stat().st_size

    folder = done.candidate_folder(smaller.key) / "model"
    weights, whole = told(smaller)
    assert weights == anatomy(folder).disk_bytes == (folder / "model.safetensors").stat().st_size < whole
    assert whole == sum(f.stat().st_size for f in folder.iterdir())

    exported = {json.loads(p.read_text())["format"]: p.parent for p in done.run_folder.glob("exports/*/export.json")}
    facts = {name: json.loads((at / "export.json").read_text()) for name, at in exported.items()}
    assert facts["huggingface"]["bytes"] == weights
    written = [f for f in exported["huggingface"].iterdir() if f.name != "export.json"]
    assert facts["huggingface"]["bytes_with_tokenizer"] == sum(f.stat().st_size for f in written)
    gguf = [f.stat().st_size for f in exported["gguf"].glob("*.gguf")]
    assert [facts["gguf"]["bytes"]] == gguf


def test_what_is_counted_is_said_where_a_size_is_asked_for_and_where_it_is_told(tmp_path: Path) -> None:
    assert METRICS["disk_bytes"].label == "Weights on disk"
    assert "tokenizer and configuration are not counted" in METRICS["disk_bytes"].explain
    asked = Prune(method="width_norm", target=Target(megabytes=30))
    assert asked.label() == "Width (weight norm), 30 MB with tokenizer"
    (tmp_path / "model.onnx").write_bytes(b"12345")
    (tmp_path / "model.onnx.data").write_bytes(b"1234567890")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    assert disk_bytes(tmp_path, EXPORTS["onnx"].weights) == (15, 17)
