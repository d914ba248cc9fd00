"""What a config will allocate counts, not only what the files hold; and where they disagree it is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from core.analysis.doctor import diagnose, memory_needed, size_of
from core.analysis.needs import need_of
from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.safetensors_header import read_headers
from core.engine.models import load
from core.engine.models.load import load_model
from core.jobs import guards
from core.recipe.recipe import Grid, Recipe, Sweep
from core.registry.methods import METHODS
from tests.engine.models.zoo import CONFIGS, tiny

HUGE = {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
}
"""Llama 3 70B, less its 80 layers: a layer has 855,638,016 weights in its matrices, the words are 1,050,673,152."""


def saying(model: Path, folder: Path, **values: Any) -> Path:
    """A copy whose config says something else."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))
    return folder


def sweep(folder: Path) -> Recipe:
    grid = Grid(method=("magnitude",), sparsity=(0.5,))
    return Recipe(name="Sweep", model=f"path:{folder}", dtype="float32", sweep=Sweep(grid=(grid,)))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_whole_model_states_a_little_less_than_it_holds(name: str, tmp_path: Path) -> None:
    """No biases and norms are counted, so that the figures of a whole model stay those of its files."""
    model = tiny(name)
    model.save_pretrained(tmp_path)
    found = anatomy(tmp_path)
    real = sum(p.numel() for p in model.parameters())
    assert 0.9 * real < found.stated_parameters <= real and found.obstacle == ""
    assert found.allocated == found.parameters == real
    tensors = read_headers(tmp_path)
    task = load.task_of(load._read_config(tmp_path), tensors)
    assert load._stated(task, load._config_of(tmp_path), tensors) == real


def test_a_huge_config_counts_for_what_it_makes(home: Settings, tiny_llama: Path) -> None:
    """Kilobytes of weights, a config of gigabytes."""
    folder = saying(tiny_llama, home.home / "models" / "huge", **HUGE)
    found = anatomy(folder)
    stated = 4 * 855_638_016 + 1_050_673_152
    assert (found.parameters, found.stated_parameters, found.allocated) == (49_440, stated, stated)
    assert found.bytes_in("bfloat16") == 2 * stated and size_of(found).parameters == stated
    assert "vocabulary of 128,256, and the embeddings in the files have 384" in found.obstacle
    assert memory_needed(METHODS["magnitude"], found, "float32") == round(1.3 * 4 * stated)
    assert need_of(sweep(folder), found, home).bytes == round(1.3 * 4 * stated)
    verdict = diagnose(found, 10**15, home)[0]
    assert not verdict.possible and "vocabulary" in verdict.why and verdict.memory_bytes > 4 * stated


def test_width_alone_is_noticed_too(home: Settings, tiny_llama: Path) -> None:
    wide = {name: value for name, value in HUGE.items() if name != "vocab_size"}
    found = anatomy(saying(tiny_llama, home.home / "models" / "wide", **wide))
    assert found.obstacle == (
        "The model is not complete: by config.json the model has at least 3.4 B parameters, and the files hold 49.4 k."
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 9}, "config.json states 9 layers, and the files hold 4 of them."),
        ({"num_hidden_layers": 9000}, "config.json states 9,000 layers, and the files hold 4 of them."),
        ({"vocab_size": 400}, "config.json states a vocabulary of 400, and the embeddings in the files have 384."),
        ({"vocab_size": 300}, "config.json states a vocabulary of 300, and the embeddings in the files have 384."),
        ({"intermediate_size": 640}, "by config.json the model has at least "),
        ({"tie_word_embeddings": False}, "by config.json the model has at least "),
    ],
)
def test_what_the_files_lack_is_said_before_anything_is_queued(
    home: Settings, tiny_llama: Path, values: dict[str, Any], said: str
) -> None:
    folder = saying(tiny_llama, home.home / "models" / "odd", **values)
    with pytest.raises(RetortError) as refused:
        guards.refuse_oversized(sweep(folder), home)
    assert refused.value.cause.startswith(f"The model is not complete: {said}")
    assert "batch" not in refused.value.remedy and "complete copy" in refused.value.remedy


def test_layers_that_are_not_in_the_files_at_all(home: Settings, tiny_llama: Path) -> None:
    folder = saying(tiny_llama, home.home / "models" / "hole")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".layers.2." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert anatomy(folder).obstacle.endswith("config.json states 4 layers, and the files hold 3 of them.")


def test_layers_beyond_those_of_the_config_are_no_disagreement(home: Settings, tiny_llama: Path) -> None:
    """transformers leaves them out: the model is whole by its config."""
    assert anatomy(saying(tiny_llama, home.home / "models" / "short", num_hidden_layers=3)).obstacle == ""


def test_a_family_nobody_knows_here_is_sized_where_it_is_loaded(home: Settings, tmp_path: Path) -> None:
    """The light side cannot count a CodeGen; whoever loads it can, without taking its memory."""
    import transformers

    config = transformers.CodeGenConfig(vocab_size=96, n_embd=32, n_layer=2, n_head=4, rotary_dim=4)
    folder = tmp_path / "codegen"
    transformers.CodeGenForCausalLM(config).save_pretrained(folder)
    huge = saying(folder, tmp_path / "huge", n_embd=16384, n_layer=70, n_head=128)
    assert anatomy(huge).stated_parameters == 0 and anatomy(huge).obstacle == ""
    with pytest.raises(RetortError) as refused:
        load_model(huge)
    assert "and its config.json states 2" in refused.value.cause and "complete copy" in refused.value.remedy
    with pytest.raises(RetortError, match="tokenizer"):  # all that is wrong with that one
        load_model(folder)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "bert"])
def test_nothing_is_allocated_for_what_a_config_only_states(name: str, tmp_path: Path) -> None:
    """The worker took 1.3 GB for 8 kB of weights, and blamed the batch."""
    import psutil

    tiny(name).save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    wider = {n: 40 * config[n] for n in ("hidden_size", "n_embd", "intermediate_size", "n_inner") if config.get(n)}
    folder = saying(tmp_path / "model", tmp_path / "wide", **wider)
    before = psutil.Process().memory_info().rss
    with pytest.raises(RetortError, match="config.json states"):
        load_model(folder, "float32")
    assert psutil.Process().memory_info().rss - before < 50_000_000
    assert (sum(p.stat().st_size for p in folder.glob("*.safetensors"))) < 1_000_000
