"""Saving, and the fresh process that proves the saved model is portable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.base.errors import RetortError
from core.engine.models import roundtrip
from core.engine.models.load import Loaded, load_model
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model

CARD = {"Name": "tiny-pruned", "Made from": "a tiny model", "Layers removed": [1, 2]}


@pytest.fixture(scope="module")
def fresh() -> Iterator[ReloadProcess]:
    with ReloadProcess() as process:
        yield process


@pytest.fixture
def loaded(tiny_llama: Path) -> Loaded:
    return load_model(tiny_llama, "float32")


def ids(batch: int = 2, length: int = 24) -> torch.Tensor:
    return torch.randint(0, 384, (batch, length), generator=torch.Generator().manual_seed(1))


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model(tokens).logits


def test_saved_folder_is_complete_and_says_how_it_was_made(loaded: Loaded, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    written = save_model(loaded.model, loaded.tokenizer, folder, CARD)
    names = {p.name for p in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert written == sum(p.stat().st_size for p in folder.iterdir())
    card = (folder / "README.md").read_text()
    assert "- Made from: a tiny model" in card and "- Layers removed: [1, 2]" in card
    assert "AutoModelForCausalLM" in card
    assert [p.name for p in tmp_path.iterdir()] == ["out"]  # no temporary folder is left


def test_saving_replaces_the_folder_and_keeps_ties(loaded: Loaded, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    save_model(loaded.model, loaded.tokenizer, folder, CARD)
    assert not (folder / "old.txt").exists()
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert again.lm_head.weight.data_ptr() == again.model.embed_tokens.weight.data_ptr()


def test_a_temperature_without_sampling_can_be_saved(loaded: Loaded, tmp_path: Path) -> None:
    loaded.model.generation_config.temperature = 0.6
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", CARD)
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["temperature"] == 0.6
    assert not loaded.model.generation_config.do_sample


def test_a_failed_save_leaves_the_old_folder(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    save_model(loaded.model, loaded.tokenizer, folder, CARD)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)  # the tokenizer's files are copied
    with pytest.raises(RetortError, match="No space left"):
        save_model(loaded.model, loaded.tokenizer, folder, {"Name": "second"})
    assert "tiny-pruned" in (folder / "README.md").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_round_trip_is_exact(fresh: ReloadProcess, tiny_llama: Path, tmp_path: Path, dtype: str) -> None:
    loaded = load_model(tiny_llama, dtype)
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", CARD)
    result = fresh.check(tmp_path / "out", ids(), logits(loaded.model, ids()))
    assert result.max_logit_difference <= 1e-5
    assert result.cached_equals_uncached is True
    assert result.peak_memory_bytes > 50e6


@pytest.mark.slow
def test_another_model_is_noticed(fresh: ReloadProcess, loaded: Loaded, tmp_path: Path) -> None:
    expected = logits(loaded.model, ids())
    with torch.no_grad():
        loaded.model.model.layers[2].mlp.down_proj.weight[0, 0] += 0.5
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", CARD)
    assert fresh.check(tmp_path / "out", ids(), expected).max_logit_difference > 1e-4


@pytest.mark.slow
def test_a_model_that_does_not_load_is_an_error(fresh: ReloadProcess, loaded: Loaded, tmp_path: Path) -> None:
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", CARD)
    path = tmp_path / "out" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.ones(31)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(RetortError, match="failed in a fresh process"):
        fresh.check(tmp_path / "out", ids(), torch.zeros(2, 24, 384))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 4


@pytest.mark.slow
def test_a_killed_child_is_an_error_and_the_next_check_works(loaded: Loaded, tmp_path: Path) -> None:
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", CARD)
    expected = logits(loaded.model, ids())
    with ReloadProcess() as process:
        child = process._started()
        os.kill(child.pid, signal.SIGSTOP)  # it is still alive when the request is written
        process.timeout = 0.2
        with pytest.raises(RetortError, match="no answer"):
            process.check(tmp_path / "out", ids(), expected)
        assert child.poll() is not None
        process.timeout = 600.0
        assert process.check(tmp_path / "out", ids(), expected).max_logit_difference <= 1e-5
        last = process._process
    assert last is not None and last.poll() is not None


def test_a_child_that_dies_at_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(roundtrip, "_CHILD", broken)
    with ReloadProcess() as process, pytest.raises(RetortError, match="ended before it answered"):
        process.check(tmp_path, ids(), torch.zeros(1))


@pytest.mark.slow
def test_the_child_imports_nothing_of_retort() -> None:
    code = (
        "import runpy, sys; sys.stdin = open('/dev/null'); "
        f"runpy.run_path({str(roundtrip._CHILD)!r}, run_name='child'); "
        "assert not [m for m in sys.modules if m.split('.')[0] in ('core', 'pages', 'retort')]"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=120)


def test_what_a_check_needs_was_imported_before_the_fork(tiny_llama: Path, tmp_path: Path) -> None:
    """Else every check would load the same thousand modules again."""
    ids = torch.arange(32).reshape(2, 16)
    save_file({"input_ids": ids, "logits": torch.zeros(2, 16, 384)}, tmp_path / "expected.safetensors")
    request = {
        "folder": str(tiny_llama),
        "tensors": str(tmp_path / "expected.safetensors"),
        "prompt": 8,
        "new_tokens": 2,
        "threads": 1,
    }
    program = (
        "import reload_process, json, sys\nbefore = set(sys.modules)\n"
        "answer = reload_process.check(json.loads(sys.argv[1]))\n"
        "print(len(set(sys.modules) - before), answer['cached_equals_uncached'])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, json.dumps(request)],
        cwd=Path(roundtrip.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(said[-2]) < 50 and said[-1] == "True"
