"""Retort from Python: the same figures as plain transformers and plain code find, and light until it is asked."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import api as retort
from core.base.errors import RetortError
from core.base.settings import Settings
from core.jobs.executors import device_lock
from core.jobs.locks import FileLock
from core.store import Store
from tests.layout.modules import ROOT


@pytest.fixture
def texts(home: Settings, tiny_llama: Path, tiny_text: str) -> dict[str, Any]:
    """What a recipe has besides its steps, for a tiny model in the home."""
    models = home.roots[0]
    shutil.copytree(tiny_llama, models / "llama")
    (models / "a.txt").write_text(tiny_text)
    (models / "b.txt").write_text("\n\n".join(f"Line {i} is of boats and {i * 3} nets." for i in range(300)))
    return {
        "home": home,
        "dtype": "float32",
        "calibration": {"data": f"path:{models}/a.txt", "split": None, "sequences": 2, "length": 32},
        "evaluation": {"data": f"path:{models}/b.txt", "split": None, "tokens": 512, "window": 64},
        "latency": {"prompt": 8, "new_tokens": 2, "repeats": 1, "warmup": 0},
    }


@pytest.fixture
def model(home: Settings) -> str:
    return f"path:{home.roots[0]}/llama"


def test_importing_it_is_light() -> None:
    code = "import sys; from core import api; print(sorted({'torch', 'transformers', 'pandas'} & sys.modules.keys()))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.slow
def test_a_pruned_model_is_what_the_table_says_and_goes_on_to_the_next_call(
    texts: dict[str, Any], model: str, home: Settings
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    table = retort.prune(model, "magnitude", sparsity=[0.5], **texts)
    assert list(table.index) == ["Dense baseline", "Magnitude 50 %"] and list(table["method"]) == ["dense", "magnitude"]
    row = table.loc["Magnitude 50 %"]
    loaded = AutoModelForCausalLM.from_pretrained(row["folder"])
    blocks = [p for n, p in loaded.named_parameters() if n.startswith("model.layers.") and p.ndim == 2]
    zeros = sum(int((p == 0).sum()) for p in blocks) / sum(p.numel() for p in blocks)
    assert zeros == 0.5 and row["sparsity_pruned"] == 50.0
    assert row["parameters"] == sum(p.numel() for p in loaded.parameters())
    assert row["memory_bytes"] == 4 * row["parameters"] + sum(b.numel() * b.element_size() for b in loaded.buffers())
    assert math.exp(row["loss"]) == pytest.approx(row["perplexity"])
    assert table.attrs["units"]["disk_bytes"] == "B" and table.attrs["units"]["decode_ms"] == "ms"
    run = Store(home).runs.get(table.attrs["run"])
    assert (run.state, run.kind, run.trials_done) == ("done", "sweep", 2), "it is a run as any other"

    beside = retort.compare(table, metrics=["loss_change", "parameters", "nonzero_parameters"], home=home)
    fewer = beside[beside["metric"] == "nonzero_parameters"].iloc[0]
    assert fewer["baseline"] - fewer["value"] == sum(p.numel() for p in blocks) / 2

    folder = retort.export(row["model"], "huggingface", **texts)
    again = AutoModelForCausalLM.from_pretrained(folder)
    pairs = zip(again.state_dict().values(), loaded.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_a_student_learns_and_a_model_is_judged_and_measured(texts: dict[str, Any], model: str) -> None:
    data = {"data": texts["calibration"]["data"], "split": None, "length": 32}
    mix = {"logit_kl": 1.0, "cross_entropy": 0.5}
    taught = retort.distil(
        model, losses=mix, budget={"steps": 2}, data=data, step={"held_out": 2, "design": {"layers": 2}}, **texts
    )
    assert list(taught["method"]) == ["dense", "distil"]
    assert taught["parameters"].iloc[1] < taught["parameters"].iloc[0]
    judged = retort.evaluate(model, **texts)
    assert len(judged) == 1 and judged["loss"].iloc[0] == taught["loss"].iloc[0]
    measured = retort.measure(model, **texts)
    assert measured["parameters"].iloc[0] == taught["parameters"].iloc[0] and "loss" not in measured


def test_what_is_wrong_is_a_sentence(texts: dict[str, Any], model: str, home: Settings, tmp_path: Path) -> None:
    with pytest.raises(RetortError, match="unknown method 'alchemy'"):
        retort.prune(model, "alchemy", sparsity=0.5, **texts)
    with pytest.raises(RetortError, match="give 'target', not 'sparsity'|no candidates"):
        retort.prune(model, "block_influence", sparsity=0.5, **texts)
    with pytest.raises(RetortError, match="There is no file"):
        retort.run(tmp_path / "none.yaml", home=home)
    with pytest.raises(RetortError, match="no such run|no run"):
        retort.results("gone", home=home)
    assert Store(home).runs.find() == [], "nothing was queued"
    lock = FileLock(device_lock(home))
    assert lock.acquire()
    try:
        with pytest.raises(RetortError, match="using this machine"):
            retort.evaluate(model, **texts)
    finally:
        lock.release()
    assert [run.state for run in Store(home).runs.find()] == ["cancelled"]


@pytest.mark.jobs
def test_as_a_job_a_recipe_file_comes_to_the_same(texts: dict[str, Any], model: str, home: Settings) -> None:
    settings = texts.pop("home")
    recipe = {"name": "as a job", "model": model, "steps": [{"step": "evaluate"}], **texts}
    file = home.home / "recipe.yaml"
    file.write_text(json.dumps(recipe))  # JSON is YAML
    table = retort.run(file, home=settings, job=True)
    assert list(table.index) == ["Dense baseline"] and table["loss"].iloc[0] > 0
    again = retort.run(recipe, home=settings)
    assert list(again["key"]) == list(table["key"]), "the same key: it was not measured anew"


def cells() -> list[str]:
    document = json.loads((ROOT / "examples" / "first-steps.ipynb").read_text("utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert all(not c["outputs"] and c["execution_count"] is None for c in document["cells"] if "outputs" in c)
    return ["".join(c["source"]) for c in document["cells"] if c["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.sample
def test_the_notebook_runs_from_its_first_cell_to_its_last(sample_home: Settings, tmp_path: Path) -> None:
    home = tmp_path.resolve() / "home"
    home.mkdir()
    (home / "samples").symlink_to(sample_home.samples)
    env = {**os.environ, "RETORT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    code = "\n\n".join(cells())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Magnitude 50 %" in done.stdout and "Wanda 50 %" in done.stdout
