"""The doctor's verdicts, each held against what the engine then really does with a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf

from core.analysis.doctor import Verdict, diagnose, memory_needed
from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.engine.models.architectures import FAMILIES
from core.engine.models.load import Loaded
from core.engine.models.matrices import prunable
from core.engine.run.prune_step import Source, apply, needed, statistics_for
from core.recipe.recipe import Prune, Target
from core.registry.families import FAMILIES as KNOWN
from core.registry.methods import METHODS
from tests.engine.prune.tiny import tiny, windows

PLENTY = 10**12


def model_of(family: str) -> hf.PreTrainedModel:
    if family == "codegen":  # no adapter for it
        torch.manual_seed(0)
        config = hf.CodeGenConfig(vocab_size=97, n_embd=32, n_layer=3, n_head=4, rotary_dim=4, n_positions=64)
        return hf.CodeGenForCausalLM(config).eval()
    model = tiny(family)
    assert isinstance(model, hf.PreTrainedModel)
    return model


def verdicts(folder: Path, settings: Settings, free: int = PLENTY) -> dict[str, Verdict]:
    return {v.method: v for v in diagnose(anatomy(folder), free, settings)}


def step(method: str, family: str) -> Prune:
    chosen = METHODS[method]
    if chosen.family == "weight":
        return Prune(method=method, sparsity=0.5)
    if chosen.family == "depth":
        return Prune(method=method, target=Target(remove_layers=1))
    parts = ("kv_groups",) if family == "mixtral" and chosen.family == "width" else ()
    return Prune(method=method, target=Target(block_fraction=0.05), parts=parts)


def works(loaded: Loaded, prune: Prune, settings: Settings) -> bool:
    """Whether the engine does the step and the model has changed as the method says."""
    source = Source(loaded, f"tiny-{prune.method}", windows())
    before = sum(p.numel() for p in loaded.model.parameters())
    try:
        statistics = statistics_for(source, needed([prune]), settings, InMemoryReporter())
        pruned, _ = apply(source, prune, statistics, InMemoryReporter())
    except RetortError:
        return False
    if METHODS[prune.method].structured:
        assert sum(p.numel() for p in pruned.model.parameters()) < before
    else:
        assert all((m.read() == 0).float().mean() > 0.4 for m in prunable(pruned.model))
    return True


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "mixtral", "codegen"])
def test_what_the_doctor_says_is_possible_is_what_the_engine_does(family: str, home: Settings) -> None:
    folder = home.home / "models" / family
    model_of(family).save_pretrained(folder)
    said = {method: verdict.possible for method, verdict in verdicts(folder, home).items()}
    done = {}
    for method in METHODS:
        task = "masked" if family == "bert" else "causal"
        loaded = Loaded(model_of(family), None, folder, torch.float32, task)
        done[method] = works(loaded, step(method, family), home)
    assert said == done


def test_the_adapters_are_those_the_engine_has() -> None:
    assert set(FAMILIES) == {f.id for f in KNOWN.values() if f.adapted}


def test_every_refusal_says_why_and_every_remark_ends_as_a_sentence(home: Settings) -> None:
    for family in ("bert", "mixtral", "codegen"):
        folder = home.home / "models" / family
        model_of(family).save_pretrained(folder)
        for verdict in verdicts(folder, home).values():
            assert verdict.possible or verdict.why
            assert not verdict.why or verdict.why.endswith(".")


def test_a_method_that_does_not_fit_into_memory_is_refused_with_both_numbers(home: Settings, tiny_llama: Path) -> None:
    found = anatomy(tiny_llama)
    needs = memory_needed(METHODS["depth_taylor"], found, "float32")
    assert needs > memory_needed(METHODS["block_influence"], found, "float32") > found.bytes_in("float32")
    verdict = verdicts(tiny_llama, home, free=needs - 1)
    assert not verdict["depth_taylor"].possible and "are free" in verdict["depth_taylor"].why
    assert verdict["block_influence"].possible


def test_estimates_wait_for_the_machine_to_be_timed(home: Settings, tiny_llama: Path) -> None:
    verdict = verdicts(tiny_llama, home)["wanda"]
    assert verdict.estimate.seconds is None and "not been timed" in verdict.estimate.basis
