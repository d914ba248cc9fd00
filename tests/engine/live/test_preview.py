"""Previews on a tiny model: the loss against one worked out from the definitions, and a model that stays dense."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.base.errors import Cancelled, RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import ResolvedModel, resolve
from core.engine.live.preview import preview
from core.engine.live.ranks import ranks_of, scores_of
from core.engine.live.warm import Warm
from core.engine.models.load import Loaded, load_model
from core.engine.models.matrices import prunable
from core.engine.prune.masks import smallest_overall, smallest_per_row
from core.recipe.recipe import Prune
from tests.engine.live.texts import request, write_texts


class OneModel:
    """A host with one model in memory; `stop_after` checkpoints it says that nobody waits."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.settings, self.actor, self.name = settings, LOCAL, model
        self.loaded = load_model(resolve(model, settings, LOCAL).folder, "float32")
        self.kept: dict[str, Any] = {}
        self.stop_after = 10_000

    def resolved(self, reference: str) -> ResolvedModel:
        return resolve(reference, self.settings, LOCAL)

    def model(self, model: str | Path, dtype: str = "auto") -> Loaded:
        return self.loaded

    def beside(self, model: str | Path, dtype: str = "auto") -> dict[str, Any]:
        return self.kept

    def checkpoint(self) -> None:
        self.stop_after -= 1
        if self.stop_after < 0:
            raise Cancelled

    def weights(self) -> list[Tensor]:
        return [m.stored.clone() for m in prunable(self.loaded.model)]

    def warm(self) -> Warm:
        found: Warm = next(iter(self.kept.values()))
        return found


@pytest.fixture
def host(home: Settings, tiny_llama: Path) -> OneModel:
    folder = home.home / "models" / "tiny"
    shutil.copytree(tiny_llama, folder)
    return OneModel(home, f"path:{folder}")


def figures(host: OneModel, prune: dict[str, Any], texts: dict[str, Any]) -> dict[str, Any]:
    events = list(preview(host, request(host.name, texts, prune)))
    found: dict[str, Any] = next(e["figures"] for e in events if "figures" in e)
    return found


def plain_losses(model: Any, windows: Tensor) -> Tensor:
    """(windows,) mean loss of each: -log softmax at the next token, one token at a time, in float64."""
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack(
                    [-row.double().log_softmax(0)[t] for row, t in zip(model(w[None]).logits[0], w[1:], strict=False)]
                ).mean()
                for w in windows
            ]
        )


def by_definition(model: Any, sparsity: float) -> None:
    """Zeroes the smallest weights of every linear layer inside the blocks, by a full sort."""
    for block in model.model.layers:
        for module in block.modules():
            if isinstance(module, torch.nn.Linear):
                flat = module.weight.data.view(-1)
                order = sorted(range(flat.numel()), key=lambda i: abs(float(flat[i])))
                flat[order[: int(flat.numel() * sparsity)]] = 0.0


def test_the_loss_is_that_of_a_model_pruned_by_the_definition(host: OneModel, home: Settings) -> None:
    texts = write_texts(home)
    found = figures(host, {"method": "magnitude", "sparsity": 0.6}, texts)
    other = load_model(resolve(host.name, home, LOCAL).folder, "float32").model
    probe = host.warm().probe
    dense = plain_losses(other, probe)
    by_definition(other, 0.6)
    pruned = plain_losses(other, probe)
    assert found["dense_loss"] == pytest.approx(float(dense.mean()), abs=1e-5)
    assert found["loss"] == pytest.approx(float(pruned.mean()), abs=1e-5)
    assert found["change"] == pytest.approx(float((pruned - dense).mean()), abs=1e-5)
    assert found["low"] < found["change"] < found["high"]
    assert found["bytes"] == found["dense_bytes"], "zeros take as much room"
    assert found["token_ms"] == found["dense_token_ms"] > 0


def test_removed_layers_are_really_gone(host: OneModel, home: Settings) -> None:
    found = figures(host, {"method": "block_influence", "target": {"remove_layers": 2}}, write_texts(home))
    statistics = next(s for s in host.warm().statistics.values() if s is not None)
    gone = statistics.block_influence.argsort()[:2].tolist()
    model: Any = load_model(resolve(host.name, home, LOCAL).folder, "float32").model
    model.model.layers = torch.nn.ModuleList(b for i, b in enumerate(model.model.layers) if i not in gone)
    for i, block in enumerate(model.model.layers):
        block.self_attn.layer_idx = i
    model.config.num_hidden_layers = 2
    assert found["loss"] == pytest.approx(float(plain_losses(model, host.warm().probe).mean()), abs=1e-5)
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["bytes"] == 4 * found["parameters"] < found["dense_bytes"]
    assert found["token_ms"] < found["dense_token_ms"]


def test_a_pattern_zeroes_the_smallest_of_every_group(host: OneModel, home: Settings) -> None:
    found = figures(host, {"method": "magnitude", "pattern": "4:8"}, write_texts(home))
    model = load_model(resolve(host.name, home, LOCAL).folder, "float32").model
    with torch.no_grad():
        for matrix in prunable(model):
            groups = matrix.stored.view(-1, 8)  # (out * in / 8, 8)
            groups.scatter_(1, groups.abs().topk(4, dim=1, largest=False).indices, 0.0)
    assert found["loss"] == pytest.approx(float(plain_losses(model, host.warm().probe).mean()), abs=1e-5)
    assert found["label"] == "Magnitude 4:8" and found["bytes"] == found["dense_bytes"]


def test_a_size_counts_the_whole_folder(host: OneModel, home: Settings, tmp_path: Path) -> None:
    host.loaded.model.save_pretrained(tmp_path)
    host.loaded.tokenizer.save_pretrained(tmp_path)
    whole = sum(f.stat().st_size for f in tmp_path.iterdir())
    layer = sum(p.numel() for p in host.loaded.model.model.layers[0].parameters())
    target = {"megabytes": (whole - 2.5 * 4 * layer) / 1e6}
    found = figures(host, {"method": "block_influence", "target": target}, write_texts(home))
    assert found["dense_parameters"] - found["parameters"] == 3 * layer, "two would not be enough"


@pytest.mark.parametrize(
    "step",
    [
        {"method": "wanda", "sparsity": 0.5},
        {"method": "magnitude", "pattern": "2:4"},
        {"method": "block_influence", "target": {"remove_layers": 1}},
        {"method": "width_activations", "target": {"block_fraction": 0.2}},
    ],
)
def test_the_model_is_dense_again_even_when_nobody_waits_any_more(
    host: OneModel, home: Settings, step: dict[str, Any]
) -> None:
    texts, before = write_texts(home), host.weights()
    events = list(preview(host, request(host.name, texts, step)))
    texts_seen = [e["text"] for e in events if "text" in e]
    assert texts_seen[-1]["pruned"] and texts_seen[-1]["dense"]
    assert all(map(torch.equal, host.weights(), before))
    host.stop_after = 2
    with pytest.raises(Cancelled):
        list(preview(host, request(host.name, texts, step, prompt="Another")))
    assert all(map(torch.equal, host.weights(), before))
    host.stop_after = 10_000
    half = preview(host, request(host.name, texts, {"method": "magnitude", "sparsity": 0.9}))
    while "figures" not in next(half):
        pass
    half.close()  # type: ignore[attr-defined]
    assert all(map(torch.equal, host.weights(), before))


def test_the_second_drag_has_nothing_to_prepare_and_the_dense_text_is_written_once(
    host: OneModel, home: Settings
) -> None:
    texts = write_texts(home)
    first = list(preview(host, request(host.name, texts, {"method": "wanda", "sparsity": 0.2})))
    second = list(preview(host, request(host.name, texts, {"method": "wanda", "sparsity": 0.7})))
    assert "stage" in first[0] and "figures" in second[0]
    assert {e["text"]["dense"] for e in second if "text" in e} == {first[-1]["text"]["dense"]}


@pytest.mark.parametrize("method", ["magnitude", "wanda", "random"])
def test_ranks_give_the_masks_of_a_sweep_ties_included(host: OneModel, method: str) -> None:
    matrix = prunable(host.loaded.model)[0]
    with torch.no_grad():
        matrix.stored.copy_((matrix.stored * 50).round())  # many ties and zeros
    prune = Prune(method=method, sparsity=0.5)
    ranks, scores = ranks_of(matrix, prune, None), scores_of(matrix, prune, None)
    for share in (0.0, 0.13, 0.5, 0.99):
        if method == "magnitude":
            k, mask = int(scores.numel() * share), smallest_overall(scores, int(scores.numel() * share))
        else:
            k, mask = int(scores.shape[1] * share), smallest_per_row(scores, int(scores.shape[1] * share))
        assert torch.equal(ranks < k, mask)


@pytest.mark.parametrize(
    ("prune", "says"),
    [
        ({"method": "sparsegpt", "sparsity": 0.5}, "takes too long for a preview"),
        ({"method": "wanda", "sparsity": 0.5, "mode": "sequential"}, "takes too long for a preview"),
        ({"method": "nothing"}, "cannot be run"),
    ],
)
def test_what_cannot_be_previewed_is_refused(host: OneModel, home: Settings, prune: dict[str, Any], says: str) -> None:
    with pytest.raises(RetortError, match=says):
        list(preview(host, request(host.name, write_texts(home), prune)))


def test_without_a_prompt_there_are_figures_and_no_text(host: OneModel, home: Settings) -> None:
    asked = request(host.name, write_texts(home), {"method": "magnitude", "sparsity": 0.1}, prompt=" ")
    assert [k for e in preview(host, asked) for k in e if k != "stage"] == ["figures"]
