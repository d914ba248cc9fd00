"""Models larger than memory: the same weights as in memory, to the bit, under a limit that a whole load breaks."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.load import load_model
from core.engine.prune.apply import prune_weights
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.shards import prune_shards
from core.engine.prune.statistics import collect, weight_observers
from core.engine.run.prune_step import needed
from core.recipe.recipe import Prune
from tests.layout.modules import ROOT

WINDOWS = torch.randint(0, 300, (4, 24), generator=torch.Generator().manual_seed(3))


def in_memory(folder: Path, prune: Prune, scratch: Path) -> dict[str, Any]:
    loaded = load_model(folder, "float32")
    if prune.mode == "sequential":
        prune_sequential(loaded.model, prune, WINDOWS, InMemoryReporter())
    else:
        statistics = None
        if needs := needed([prune]):
            observers = weight_observers(loaded.model, needs, InMemoryReporter())
            statistics = collect(loaded.model, WINDOWS, observers, InMemoryReporter(), folder=scratch)
        prune_weights(loaded.model, prune, statistics, InMemoryReporter())
    return loaded.model.state_dict()


@pytest.mark.parametrize(
    "prune",
    [
        Prune(method="magnitude", sparsity=0.5),
        Prune(method="wanda", sparsity=0.5),
        Prune(method="wanda", pattern="2:4", mode="sequential"),
        Prune(method="sparsegpt", sparsity=0.6, mode="sequential"),
    ],
    ids=lambda p: f"{p.method}-{p.mode}",
)
def test_files_hold_what_pruning_in_memory_gives(tiny_llama: Path, tmp_path: Path, prune: Prune) -> None:
    report = prune_shards(tiny_llama, tmp_path / "out", prune, WINDOWS, InMemoryReporter(), shard_bytes=20_000)
    expected = in_memory(tiny_llama, prune, tmp_path / "statistics")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in expected)
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 3
    nonzero = sum(int((t != 0).sum()) for n, t in found.items() if n != "lm_head.weight")
    assert report.facts["nonzero_parameters"] == nonzero  # the tied head counts once


def test_protected_layers_stay_dense(tiny_llama: Path, tmp_path: Path) -> None:
    prune_shards(
        tiny_llama, tmp_path / "out", Prune(method="magnitude", sparsity=0.5, protect=(1,)), None, InMemoryReporter()
    )
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama).model.layers[1].state_dict()
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out").model.layers[1].state_dict()
    assert all(torch.equal(found[k], dense[k]) for k in dense)


def test_what_cannot_be_is_refused_and_leaves_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    half = {"method": "wanda", "sparsity": 0.5}
    for prune, windows, reason in (
        (Prune(**half), None, "needs calibration text"),
        (Prune(**half, allocation="owl"), WINDOWS, "needs the whole model"),
        (Prune(method="block_influence", target={"remove_layers": 1}), WINDOWS, "removes parts"),
    ):
        with pytest.raises(RetortError, match=reason):
            prune_shards(tiny_llama, out, prune, windows, InMemoryReporter())
    out.mkdir()
    with pytest.raises(RetortError, match="exists already"):
        prune_shards(tiny_llama, out, Prune(method="magnitude", sparsity=0.5), None, InMemoryReporter())
    assert list(tmp_path.iterdir()) == [out] and list(out.iterdir()) == []


LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
from core.engine.models.load import load_model
from core.engine.prune.shards import prune_shards
from core.base.progress import InMemoryReporter
from core.recipe.recipe import Prune

folder, out, way, tiny = sys.argv[1:5]
load_model(Path(tiny))  # what is imported on the first load is not the model's
torch.ones(8, 8) @ torch.ones(8, 8)
lines = Path("/proc/self/status").read_text().splitlines()
data = next(int(l.split()[1]) * 1024 for l in lines if l.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data + 160_000_000, resource.RLIM_INFINITY))
prune = Prune(method="wanda", sparsity=0.5, mode="sequential")
windows = torch.randint(0, 500, (2, 16), generator=torch.Generator().manual_seed(0))
try:
    if way == "whole":
        load_model(Path(folder), "float32").model(input_ids=windows)
    else:
        prune_shards(Path(folder), Path(out), prune, windows, InMemoryReporter(), shard_bytes=20_000_000)
except (MemoryError, RuntimeError, OSError) as error:
    print(json.dumps(f"too large: {error}"))
else:
    print(json.dumps("done"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA") or sys.platform != "linux", reason="the limit is Linux's")
def test_a_model_beyond_the_memory_limit_is_pruned(tiny_llama: Path, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=22,
        num_attention_heads=8,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        max_position_embeddings=64,
    )
    folder = tmp_path / "large"
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="20MB")
    for file in tiny_llama.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    assert size > 320_000_000  # and the limit leaves 160 MB

    def ends(way: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(folder), str(tmp_path / "out"), way, str(tiny_llama)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # freed tensors go back at once
        )
        return str(json.loads(done.stdout)) if done.returncode == 0 and done.stdout else f"died: {done.stderr[-400:]}"

    assert ends("whole") != "done"
    assert ends("files") == "done"
    pruned = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    weight = pruned.model.layers[9].mlp.up_proj.weight
    assert float((weight == 0).float().mean()) == pytest.approx(0.5)
