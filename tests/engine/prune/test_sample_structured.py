"""Structured pruning of a real model: what goes is what matters least, and the rest still speaks English."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.data.corpora import load_texts
from core.engine.data.windows import calibration_windows, evaluation_windows
from core.engine.evaluate.perplexity import perplexity
from core.engine.models.load import Loaded, load_model
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.prune.observers import BlockInfluence
from core.engine.prune.statistics import Statistics, collect
from core.engine.prune.structured import prune_structure, structure_observers
from core.recipe.recipe import Corpus, Prune

pytestmark = [pytest.mark.sample, pytest.mark.slow]
LAYERS = {"remove_layers": 2}
NEURONS = {"block_fraction": 0.05}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("block_influence", LAYERS),
    ("angular", LAYERS),
    ("width_activations", NEURONS),
    ("width_flap", NEURONS),
]


class Subject:
    """SmolLM2 with the statistics of one pass, and its own perplexity."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.loaded = load_model(settings.samples / "smollm2-135m")
        texts = load_texts(Corpus(split="calibration"), settings, LOCAL)
        self.windows = calibration_windows(texts, self.loaded.tokenizer, 8, 256, 0)  # (8, 256)
        held_out = load_texts(Corpus(split="evaluation"), settings, LOCAL)
        self.evaluation = evaluation_windows(held_out, self.loaded.tokenizer, 2048, 256)  # (8, 256)
        observers = structure_observers(self.loaded.model, {"last_hidden", "unit_activations", "fluctuation"})
        observers.append(BlockInfluence())
        self.statistics: Statistics = collect(
            self.loaded.model, self.windows, observers, InMemoryReporter(), folder=folder
        )
        self.dense = self.perplexity(self.loaded)

    def perplexity(self, loaded: Loaded) -> float:
        return perplexity(loaded.model, self.evaluation, 4, InMemoryReporter())[0].value

    def pruned(self, method: str, target: dict[str, Any], **more: Any) -> Loaded:
        prune = Prune.model_validate({"method": method, "target": target, **more})
        model, _ = prune_structure(self.loaded, prune, self.statistics, self.windows, InMemoryReporter())
        return replace(self.loaded, model=model)


@pytest.fixture(scope="module")
def subject(sample_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(sample_home, tmp_path_factory.mktemp("statistics"))


@pytest.mark.parametrize(("method", "target"), METHODS)
def test_a_little_less_is_a_little_worse(subject: Subject, method: str, target: dict[str, Any]) -> None:
    smaller = subject.pruned(method, target)
    gone = 1 - parameters(smaller) / parameters(subject.loaded)
    assert gone == pytest.approx(2 / 30 if target is LAYERS else 0.05, abs=0.005)
    assert subject.dense < subject.perplexity(smaller) < 1.6 * subject.dense


def parameters(loaded: Loaded) -> int:
    """Of the blocks."""
    return sum(p.numel() for p in loaded.model.get_submodule("model.layers").parameters())


def test_removing_other_layers_than_the_method_chose_is_worse(subject: Subject) -> None:
    """With the 20 layers that matter least protected, two of the others have to go."""
    chosen = subject.perplexity(subject.pruned("block_influence", LAYERS))
    order = subject.statistics.block_influence.argsort().tolist()
    forced = subject.pruned("block_influence", LAYERS, protect=order[:20])
    kept = {round(float(b.mlp.down_proj.weight.detach().sum()), 3) for b in forced.model.get_submodule("model.layers")}
    blocks = list(subject.loaded.model.get_submodule("model.layers"))
    assert all(round(float(blocks[i].mlp.down_proj.weight.detach().sum()), 3) in kept for i in order[:20])
    assert subject.perplexity(forced) > 1.2 * chosen


def test_what_is_left_loads_with_plain_transformers(subject: Subject, tmp_path: Path) -> None:
    smaller = subject.pruned("width_flap", NEURONS)
    save_model(smaller.model, smaller.tokenizer, tmp_path / "model", {})
    ids = subject.evaluation[:1, :64]
    with torch.inference_mode():
        expected = smaller.model(ids).logits
    with ReloadProcess() as fresh:
        assert fresh.check(tmp_path / "model", ids, expected).max_logit_difference < 1e-2
