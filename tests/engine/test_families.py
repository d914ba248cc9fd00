"""Families of all kinds through whole runs: what the doctor says is what happens, and nothing is ever unexpected.

A refusal is a `RetortError` and comes before the first figure where the doctor says no. Any other exception would be
"Something unexpected happened" to a user, and fails here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
from core.catalogue.exportable import describe
from core.engine.evaluate.classify import predictions
from core.engine.evaluate.perplexity import perplexity
from core.engine.export.write import export
from core.engine.models.context import context_of
from core.engine.models.load import load_model
from core.engine.models.readable import refuse_unreadable
from core.engine.models.save import save_model
from core.engine.run.prune_step import Source, apply, needed, statistics_for
from core.recipe.recipe import Prune
from core.registry.formats import EXPORTS

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
        {"vocab_size": ROWS, "d_model": 32, "d_ff": 48, "num_layers": 3, "num_heads": 4, "d_kv": 8},
    ),
    "token classifier": ("BertForTokenClassification", "BertConfig", _BERT),
}
METHODS: dict[str, dict[str, Any]] = {
    "magnitude": {"sparsity": 0.5},
    "wanda": {"sparsity": 0.5},
    "sparsegpt": {"sparsity": 0.5},
    "block_influence": {"target": {"remove_layers": 1}},
    "reap": {"target": {"sizes": {"experts": 3}}},
}


def folder_of(name: str, tiny_llama: Path, home: Settings) -> Path:
    kind, config, settings = FAMILIES[name]
    torch.manual_seed(0)
    folder = home.roots[0] / name.replace(" ", "-")
    getattr(t, kind)(getattr(t, config)(**settings)).save_pretrained(folder)
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy2(file, folder / file.name)
    if kind.endswith("MaskedLM"):
        tokenizer = t.AutoTokenizer.from_pretrained(folder)
        tokenizer.mask_token = tokenizer.convert_ids_to_tokens(5)
        tokenizer.save_pretrained(folder)
    return folder


def done(work: Callable[[], Any]) -> bool:
    """Whether the work ends well; a plain refusal is the only other way it may end."""
    try:
        work()
    except RetortError as error:
        assert error.cause and error.remedy and "\n" not in error.cause
        return False
    return True


def pruned(folder: Path, method: str, home: Settings, out: Path) -> None:
    """The step as a run does it, and the result saved and opened again."""
    loaded, step = load_model(folder, "float32"), Prune.model_validate({"method": method, **METHODS[method]})
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


@pytest.mark.parametrize("name", FAMILIES)
def test_the_doctor_and_the_engine_agree(name: str, tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    folder = folder_of(name, tiny_llama, home)
    found = anatomy(folder)
    said = {v.method: v.possible for v in diagnose(found, 10**13, home)}
    does = {m: done(lambda m=m: pruned(folder, m, home, tmp_path / m)) for m in METHODS}  # type: ignore[misc]
    assert does == {m: said[m] for m in METHODS}
    assert done(lambda: judged(folder)) is not bool(found.obstacle)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_doctor_and_the_exports_agree(name: str, tiny_llama: Path, home: Settings, tmp_path: Path) -> None:
    folder = folder_of(name, tiny_llama, home)
    forms = {o.id: o.possible for o in export_options(describe(folder)) if o.id != "int8"}
    written = {
        f: done(lambda f=f: export(EXPORTS[f], folder, tmp_path / f"as-{f}", "x", InMemoryReporter()))  # type: ignore[misc]
        for f in forms
    }
    assert written == forms
