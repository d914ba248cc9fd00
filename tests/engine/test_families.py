"""Families of all kinds through whole runs: what the doctor says is what happens, and nothing is ever unexpected.

A refusal is a `RetortError` and comes before the first figure where the doctor says no. Any other exception would be
"Something unexpected happened" to a user, and fails here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from core.analysis.doctor import diagnose, export_options
from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.export_check import refuse_quantise
from core.catalogue.exportable import describe
from core.engine.evaluate.classify import predictions
from core.engine.evaluate.perplexity import perplexity
from core.engine.export.write import export
from core.engine.models.context import context_of
from core.engine.models.load import load_model
from core.engine.models.readable import refuse_unreadable
from core.engine.models.save import save_model
from core.engine.pipeline import execute
from core.engine.prune.quantise import quantise
from core.engine.run.prune_step import Source, apply, needed, statistics_for
from core.recipe.recipe import Prune, Recipe
from core.registry.families import is_square, width_parts
from core.registry.formats import EXPORTS
from core.registry.methods import METHODS
from tests.engine.conftest import JUDGED as TEXT
from tests.engine.conftest import Memory
from tests.engine.models.families import FAMILIES as MEMBERS
from tests.engine.models.wild import edit

ROWS = 384  # as many as the tokenizer of the tiny Llama has
_USUAL: dict[str, Any] = {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_PLAIN = {k: v for k, v in _USUAL.items() if k not in ("num_key_value_heads", "head_dim")}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_BERT = {k: v for k, v in _PLAIN.items() if k not in ("bos_token_id", "eos_token_id")}

FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": ROWS, "n_layer": 3, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0, "hidden_size": 32},
    ),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        {**_USUAL, **_EXPERTS, "num_experts": 4, "decoder_sparse_step": 2, "mlp_only_layers": []},
    ),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", {**_BERT, "pad_token_id": 1}),
    "llama classifier": ("LlamaForSequenceClassification", "LlamaConfig", {**_USUAL, "pad_token_id": None}),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {
            "vocab_size": ROWS,
            "d_model": 32,
            "d_ff": 48,
            "num_layers": 3,
            "num_heads": 4,
            "d_kv": 8,
            **dict.fromkeys(("pad_token_id", "eos_token_id", "decoder_start_token_id"), 0),
        },
    ),
    "token classifier": ("BertForTokenClassification", "BertConfig", _BERT),
}
ASKED: dict[str, dict[str, Any]] = {
    "weight": {"sparsity": 0.5},
    "depth": {"target": {"remove_layers": 1}},
    "width": {"target": {"block_fraction": 0.05}, "multiple": 4},
    "experts": {"target": {"sizes": {"experts": 3}}},
}
"""What a step of each family of methods asks for."""


def folder_of(name: str, tiny_llama: Path, home: Settings) -> Path:
    kind, config, settings = FAMILIES[name]
    torch.manual_seed(0)
    folder = home.roots[0] / name.replace(" ", "-")
    getattr(t, kind)(getattr(t, config)(**settings)).save_pretrained(folder)
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy2(file, folder / file.name)
    if kind.endswith("MaskedLM"):
        edit(folder, "tokenizer_config.json", mask_token="<|endoftext|>")
    return folder


def done(work: Callable[[], Any]) -> bool:
    """Whether the work ends well; a plain refusal is the only other way it may end."""
    try:
        work()
    except RetortError as error:
        assert error.cause and error.remedy and "\n" not in error.cause
        return False
    return True


def pruned(folder: Path, method: str, home: Settings, out: Path, **more: Any) -> None:
    """The step as a run does it, and the result saved and opened again."""
    loaded, step = (
        load_model(folder, "float32"),
        Prune.model_validate({"method": method, **ASKED[METHODS[method].family], **more}),
    )
    refuse_unreadable(loaded.model)
    source = Source(loaded, f"{folder.name}-{method}", torch.randint(5, ROWS, (2, 24)))
    statistics = statistics_for(source, needed([step]), home, InMemoryReporter())
    candidate, _ = apply(source, step, statistics, InMemoryReporter(), home)
    save_model(candidate.model, candidate.tokenizer, out, {})
    again = load_model(out, "float32")
    assert type(again.model) is type(loaded.model) and not again.remarks


def judged(folder: Path) -> None:
    loaded = load_model(folder, "float32")
    windows = torch.randint(5, ROWS, (2, min(context_of(loaded.model) or 64, 128)))
    if loaded.task == "classification":
        assert (
            len(
                predictions(loaded.model, loaded.tokenizer, ["one", "the river ran", "a " * 400], 2, InMemoryReporter())
            )
            == 3
        )
    elif loaded.task != "encoder":
        found = perplexity(loaded.model, windows, 2, InMemoryReporter(), tokenizer=loaded.tokenizer)
        assert found[0].value > 1


def asked(method: str, folder: Path) -> dict[str, Any]:
    """The parts that the doctor's remark names, where a width method cannot take its usual ones."""
    shape = anatomy(folder).shape
    possible = width_parts(is_square(shape.family), shape.stays, method != "width_flap")
    wide = method.startswith("width") and "neurons" in shape.stays and possible
    return {"parts": tuple(possible)} if wide else {}


def agree(folder: Path, home: Settings, tmp_path: Path, methods: Iterable[str]) -> None:
    found = anatomy(folder)
    said = {v.method: v.possible for v in diagnose(found, 10**13, home)}
    does = {m: done(lambda m=m: pruned(folder, m, home, tmp_path / m, **asked(m, folder))) for m in methods}  # type: ignore[misc]
    assert does == {m: said[m] for m in methods}
    assert done(lambda: judged(folder)) is not bool(found.obstacle)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_doctor_and_the_engine_agree(name: str, tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    agree(folder_of(name, tiny_llama, home), home, tmp_path, ("magnitude", "wanda", "block_influence", "reap"))


def test_a_model_of_masked_words_without_a_mask_token_is_refused_at_once(tiny_llama: Path, home: Settings) -> None:
    folder = folder_of("roberta", tiny_llama, home)
    assert not anatomy(folder).obstacle
    edit(folder, "tokenizer_config.json", drop=("mask_token",))
    assert "has no mask token" in anatomy(folder).obstacle


def member_of(name: str, tiny_llama: Path, home: Settings) -> Path:
    folder = home.roots[0] / name
    MEMBERS[name].build().save_pretrained(folder)
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy2(file, folder / file.name)
    edit(folder, "tokenizer_config.json", mask_token="<|endoftext|>")
    return folder


SHORT = {"falcon-alibi": ("width_norm",), "albert": ("block_influence", "width_activations"), "mamba": ("angular",)}


@pytest.mark.parametrize("name", SHORT)
def test_the_doctor_and_the_engine_agree_on_families_of_which_some_parts_stay(
    name: str, tiny_llama: Path, home: Settings, tmp_path: Path
) -> None:
    agree(member_of(name, tiny_llama, home), home, tmp_path, SHORT[name])


def test_a_layer_that_the_others_need_stays(tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    """ModernBERT's first layer has no norm of its own: of four layers three may go, and it is the one that is left."""
    folder = member_of("modernbert", tiny_llama, home)
    pruned(folder, "block_influence", home, tmp_path / "out", target={"remove_layers": 3})
    kept, dense = (load_model(f, "float32").model.state_dict() for f in (tmp_path / "out", folder))
    assert torch.equal(kept["model.layers.0.mlp.Wo.weight"], dense["model.layers.0.mlp.Wo.weight"])
    with pytest.raises(RetortError, match="4 layers cannot be removed"):
        pruned(folder, "block_influence", home, tmp_path / "none", target={"remove_layers": 4})


@pytest.mark.long
@pytest.mark.parametrize("name", MEMBERS)
def test_the_doctor_is_right_about_everything(name: str, tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    """Every method, a step of distillation, int8 and each export."""
    folder = member_of(name, tiny_llama, home)
    agree(folder, home, tmp_path, METHODS)
    forms = {o.id: o.possible for o in export_options(describe(folder))}
    does: dict[str, Callable[[], Any]] = {
        f: lambda f=f: export(EXPORTS[f], folder, tmp_path / f"as-{f}", "x", InMemoryReporter())  # type: ignore[misc]
        for f in forms
        if f != "int8"
    }
    does["int8"] = lambda: (refuse_quantise(folder), quantise(folder, "float32", InMemoryReporter()))
    assert {f: done(work) for f, work in does.items()} == forms
    text = home.roots[0] / "text.txt"
    text.write_text(TEXT)
    lesson = {
        "step": "distil",
        "budget": {"steps": 1},
        "batch": 1,
        "data": {"data": f"path:{text}", "split": None, "length": 16},
    }
    asked_for = {
        "name": "zoo",
        "model": f"path:{folder}",
        "dtype": "float32",
        "latency": None,
        "evaluation": {"data": f"path:{text}", "split": None, "tokens": 64, "window": 32},
        "steps": [lesson],
    }
    hooks = Memory(home)
    execute(Recipe.model_validate(asked_for), hooks)
    assert not hooks.failed and hooks.results


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_doctor_and_the_exports_agree(name: str, tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    folder = folder_of(name, tiny_llama, home)
    asked = {form.possible: form.id for form in reversed(EXPORTS.values())}.values()  # one for each reason
    forms = {o.id: o.possible for o in export_options(describe(folder)) if o.id in asked}
    written = {
        f: done(lambda f=f: export(EXPORTS[f], folder, tmp_path / f"as-{f}", "x", InMemoryReporter()))  # type: ignore[misc]
        for f in forms
    }
    assert written == forms
