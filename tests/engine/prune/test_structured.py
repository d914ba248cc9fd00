"""Structured steps as recipes ask for them: targets, refusals, and what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.models.load import Loaded, load_model, task_of
from core.engine.models.save import save_model
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.quantise import quantise
from core.engine.prune.statistics import Statistics, collect, weight_observers
from core.engine.prune.structured import prune_structure, structure_observers
from core.engine.prune.surgery import Keep, cut
from core.recipe.recipe import Prune
from core.recipe.results import Trial
from core.registry.methods import METHODS
from tests.engine.models.zoo import SQUARE, ids, output, tiny

WINDOWS = ids(batch=6, length=16)


def loaded(model: PreTrainedModel) -> Loaded:
    task = task_of({"architectures": [type(model).__name__]})
    return Loaded(model, None, Path("tiny"), torch.float32, task)


def step(
    model: PreTrainedModel, method: str = "block_influence", **settings: Any
) -> tuple[PreTrainedModel, PruneReport]:
    return prune_structure(loaded(model), Prune(method=method, **settings), None, WINDOWS, InMemoryReporter())


def parameters(model: PreTrainedModel, inside: str = "") -> int:
    return sum(p.numel() for n, p in model.named_parameters() if inside in n)


@pytest.mark.parametrize("method", [m.id for m in METHODS.values() if m.family == "depth"])
def test_every_depth_method_removes_what_it_is_asked_to(method: str) -> None:
    model = tiny("llama")
    new, report = step(model, method, target={"remove_layers": 2}, protect=(0,))
    assert len(new.model.layers) == new.config.num_hidden_layers == report.facts["layers"] == 2
    assert 0 in report.facts["layers_kept"] and len(report.facts["layers_removed"]) == 2
    assert parameters(new) < parameters(model)


@pytest.mark.parametrize("method", [m.id for m in METHODS.values() if m.kind == "units" and m.family == "width"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_every_width_method_shrinks_neurons(method: str, name: str) -> None:
    model = tiny(name)
    new, report = step(model, method, target={"block_fraction": 0.2})
    assert report.facts["intermediate"] in (8, 16, 24, 32)
    assert report.facts["block_parameters_removed"] >= 0.2
    assert torch.isfinite(output(new, ids())).all()


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_a_search_keeps_to_its_budget(name: str) -> None:
    """Layers, neurons and groups; GPT-2's heads stay, because its hidden size follows from them."""
    model = tiny(name)
    new, report = step(model, "searched", target={"block_fraction": 0.4}, heal="closed-form")
    assert (
        1
        - parameters(new, "layers." if name != "gpt2" else "h.")
        / parameters(model, "layers." if name != "gpt2" else "h.")
        >= 0.4
    )
    assert report.facts["block_parameters_removed"] >= 0.4
    assert report.facts["search"]["curve"][-1][1] > 0 and report.facts["heads"] in ((6,) if name == "gpt2" else (3, 6))
    assert torch.isfinite(output(new, ids())).all()


def test_a_search_refuses_less_than_the_smallest_shape() -> None:
    with pytest.raises(RetortError, match="At most .* of block parameters can be removed this way"):
        step(tiny("llama"), "searched", target={"block_fraction": 0.99})


def test_block_influence_removes_the_layer_that_does_least() -> None:
    model = tiny("llama")
    with torch.no_grad():
        for part in (model.model.layers[2].self_attn.o_proj, model.model.layers[2].mlp.down_proj):
            part.weight *= 1e-4
    new, report = step(model, target={"remove_layers": 1})
    assert report.facts["layers_removed"] == [2]
    assert float((output(new, ids()) - output(model, ids())).abs().max()) < 0.01
    assert "Removed layer 2 (counted from 0)." in report.notes


@pytest.mark.parametrize(
    "settings",
    [
        {"target": {"remove_layers": 0}},
        {"target": {"block_fraction": 0.0}},
        {"target": {"sizes": {"layers": 4}}},
        {"method": "width_norm", "target": {"total_fraction": 0.0}, "parts": ("neurons", "hidden", "layers")},
        {"method": "width_activations", "target": {"sizes": {"intermediate": 40, "heads": 6}}},
    ],
)
def test_removing_nothing_is_the_identity(settings: dict[str, Any]) -> None:
    model = tiny("llama")
    new, report = step(model, **settings)
    assert torch.equal(output(new, ids()), output(model, ids()))
    assert report.facts["parameters_removed"] == 0


def test_a_fraction_of_the_blocks_is_the_mildest_that_reaches_it() -> None:
    model = tiny("llama")
    _, report = step(model, target={"block_fraction": 0.25})
    assert report.facts["layers"] == 3 and report.facts["block_parameters_removed"] == pytest.approx(0.25)
    _, report = step(model, target={"block_fraction": 0.26})
    assert report.facts["layers"] == 2


@pytest.mark.parametrize(
    "parts", [("neurons",), ("neurons", "kv_groups"), ("neurons", "hidden"), ("layers", "neurons")]
)
def test_a_fraction_of_everything_is_reached_and_measured(parts: tuple[str, ...]) -> None:
    model = tiny("llama")
    new, report = step(model, "width_norm", target={"total_fraction": 0.2}, parts=parts, multiple=4)
    removed = 1 - parameters(new) / parameters(model)
    assert report.facts["parameters_removed"] == pytest.approx(removed) and 0.2 <= removed < 0.55
    inside = 1 - parameters(new, "layers.") / parameters(model, "layers.")
    assert report.facts["block_parameters_removed"] == pytest.approx(inside)


def test_sizes_are_rounded_to_the_multiple() -> None:
    for multiple in (8, 16):
        new, _ = step(tiny("llama"), "width_norm", target={"block_fraction": 0.1}, multiple=multiple)
        assert new.config.intermediate_size % multiple == 0 and new.config.intermediate_size < 40


def test_megabytes_hold_on_disk(tiny_llama: Path, tmp_path: Path) -> None:
    given = load_model(tiny_llama, "float32")
    size = save_model(given.model, given.tokenizer, tmp_path / "dense", {"Name": "dense"})
    wanted = size * 0.8 / 1e6
    prune = Prune(method="block_influence", target={"megabytes": wanted})
    windows = torch.randint(0, 384, (4, 16), generator=torch.Generator().manual_seed(0))
    new, report = prune_structure(given, prune, None, windows, InMemoryReporter())
    small = save_model(new, given.tokenizer, tmp_path / "small", {"Name": "small", **report.facts})
    assert small / 1e6 <= wanted
    one_more = len(report.facts["layers_removed"]) - 1
    milder = Prune(method="block_influence", target={"remove_layers": one_more})
    big, _ = prune_structure(given, milder, None, windows, InMemoryReporter())
    assert save_model(big, given.tokenizer, tmp_path / "big", {"Name": "big"}) / 1e6 > wanted * 0.99


def test_explicit_sizes_combine_depth_and_width() -> None:
    sizes = {"layers": 3, "intermediate": 20, "kv_heads": 1, "hidden": 36}
    new, report = step(tiny("llama"), "width_activations", target={"sizes": sizes})
    config = new.config
    assert (config.num_hidden_layers, config.intermediate_size, config.hidden_size) == (3, 20, 36)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (3, 1, 8)
    assert "plain transformers reads one size for all" in " ".join(report.notes)


def test_channels_go_in_steps_the_heads_divide() -> None:
    """Llama's hidden size stays a multiple of its 6 heads: 48, 24 in steps of 8; the neurons go in their own steps."""
    new, _ = step(tiny("llama"), "width_norm", target={"block_fraction": 0.05}, parts=("hidden", "neurons"))
    assert (new.config.hidden_size, new.config.intermediate_size) == (48, 32)
    new, _ = step(tiny("llama"), "width_norm", target={"block_fraction": 0.5}, parts=("hidden", "neurons"))
    assert (new.config.hidden_size, new.config.intermediate_size) == (24, 24)


def test_channels_take_heads_along_where_they_are_tied() -> None:
    new, report = step(tiny("gpt2"), "width_activations", target={"block_fraction": 0.3}, parts=("hidden",))
    assert new.config.n_embd == 8 * new.config.n_head < 48
    assert report.facts["hidden"] == new.config.n_embd


def test_experts_are_removed_with_their_router_rows() -> None:
    model = tiny("mixtral")
    new, report = step(model, "reap", target={"sizes": {"experts": 4}})
    assert new.config.num_local_experts == 4 and new.model.layers[0].mlp.gate.weight.shape[0] == 4
    _, report = step(model, "reap", target={"block_fraction": 0.3})
    assert report.facts["experts"] < 6 and report.facts["block_parameters_removed"] >= 0.3


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"target": {"remove_layers": 1}, "protect": (0, 1, 2, 3)}, "All layers are protected"),
    ("llama", {"target": {"block_fraction": 0.3}, "protect": (0, 1, 2, 3)}, "All layers are protected"),
    ("llama", {"target": {"remove_layers": 3}, "protect": (0, 1)}, "2 of them protected"),
    ("llama", {"target": {"remove_layers": 4}}, "one must stay"),
    ("llama", {"target": {"remove_layers": 1}, "protect": (4,)}, "layers are 0 to 3"),
    ("llama", {"target": {"block_fraction": 0.9}}, r"At most 75\.0 % of block parameters"),
    ("llama", {"target": {"total_fraction": 0.9}}, r"At most \d+\.\d % of all parameters"),
    ("llama", {"target": {"megabytes": 0.0001}}, r"\d\.\d MB is the least"),
    ("llama", {"target": {"sizes": {"intermediate": 16}}}, "removes layers only"),
    ("llama", {"method": "angular", "target": {"remove_layers": 2}, "protect": (1, 3)}, "in a row"),
    ("llama", {"method": "width_norm", "target": {"remove_layers": 1}}, "does not remove layers"),
    ("llama", {"method": "width_norm", "target": {"block_fraction": 0.2}, "protect": (0,)}, "one size for all layers"),
    ("llama", {"method": "width_norm", "target": {"sizes": {"heads": 5}}}, "5 query heads cannot be shared"),
    ("llama", {"method": "width_norm", "target": {"sizes": {"hidden": 44}}}, "6 does not divide 44"),
    ("llama", {"method": "width_norm", "target": {"sizes": {"intermediate": 48}}}, "less than 48"),
    ("llama", {"method": "width_norm", "target": {"sizes": {"layers": 5}}}, "fewer than 5"),
    ("llama", {"method": "width_norm", "target": {"sizes": {"experts": 2}}}, "no 'experts'"),
    ("llama", {"method": "reap", "target": {"block_fraction": 0.1}}, "no experts to remove"),
    ("llama", {"method": "width_flap", "target": {"sizes": {"hidden": 36}}}, "FLAP ranks neurons and heads"),
    ("gpt2", {"method": "width_norm", "target": {"block_fraction": 0.1}, "parts": ("heads",)}, "be removed alone"),
    ("gpt2", {"method": "width_norm", "target": {"sizes": {"hidden": 40}}}, "tie the hidden size to the heads"),
    ("bert", {"method": "loss_ablation", "target": {"remove_layers": 1}}, "predicts the next token"),
    ("bert", {"method": "width_taylor", "target": {"block_fraction": 0.1}}, "predicts the next token"),
    ("mixtral", {"method": "width_norm", "target": {"block_fraction": 0.1}}, "they lie inside its experts"),
    ("mixtral", {"method": "reap", "target": {"sizes": {"experts": 1}}}, "at least 2 must stay"),
]


@pytest.mark.parametrize(("name", "settings", "sentence"), REFUSALS)
def test_refusals_say_why(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RetortError, match=sentence) as refused:
        step(tiny(name), **settings)
    for text in (refused.value.cause, refused.value.remedy):
        assert text.endswith(".") and (not text[0].islower() or text.startswith("transformers"))


def test_the_nearest_head_counts_are_named() -> None:
    with pytest.raises(RetortError) as refused:
        step(tiny("llama"), "width_norm", target={"sizes": {"heads": 5}})
    assert "4 or 6 query heads" in refused.value.remedy


def test_what_transformers_refuses_is_one_sentence() -> None:
    model = tiny("llama")
    with pytest.raises(RetortError, match="transformers cannot build"):
        cut(model, adapter_for(model), Keep([0, 1, 2, 3], hidden=torch.arange(40)))


@pytest.mark.parametrize("name", SQUARE)
def test_block_influence_works_everywhere(name: str) -> None:
    model = tiny(name)
    new, _ = step(model, target={"remove_layers": 2})
    assert torch.isfinite(output(new, ids())).all() and parameters(new) < parameters(model)


def test_statistics_gathered_once_serve_many_candidates(tmp_path: Path) -> None:
    """With complete statistics no calibration text is needed any more, and the choice is the same."""
    model = tiny("llama")
    needs = METHODS["width_activations"].needs | METHODS["angular"].needs
    observers = [*weight_observers(model, needs, InMemoryReporter()), *structure_observers(model, needs)]
    known = collect(model, WINDOWS, observers, InMemoryReporter(), folder=tmp_path)
    again = Statistics(known.folder)
    for settings in (
        {"method": "width_activations", "target": {"block_fraction": 0.3}},
        {"method": "angular", "target": {"remove_layers": 2}},
        {"method": "block_influence", "target": {"remove_layers": 2}},
    ):
        prune = Prune(**settings)
        direct, _ = prune_structure(loaded(model), prune, None, WINDOWS, InMemoryReporter())
        cached, _ = prune_structure(loaded(model), prune, again, None, InMemoryReporter())
        assert torch.equal(output(direct, ids()), output(cached, ids()))


def test_without_statistics_or_text_it_says_so() -> None:
    with pytest.raises(RetortError, match="needs calibration text"):
        prune_structure(
            loaded(tiny("llama")), Prune(method="angular", target={"remove_layers": 1}), None, None, InMemoryReporter()
        )


def test_a_quantised_model_is_refused(tiny_llama: Path) -> None:
    pytest.importorskip("torchao")
    quantised, _ = quantise(tiny_llama, "float32", InMemoryReporter())
    windows = torch.randint(0, 384, (2, 16), generator=torch.Generator().manual_seed(0))
    with pytest.raises(RetortError, match="its weights are packed"):
        prune_structure(
            quantised, Prune(method="block_influence", target={"remove_layers": 1}), None, windows, InMemoryReporter()
        )


DENSE_BETWEEN: dict[str, dict[str, Any]] = {
    "every second layer": {"decoder_sparse_step": 2, "mlp_only_layers": []},
    "the first layer dense": {"decoder_sparse_step": 1, "mlp_only_layers": [0]},
    "some named": {"decoder_sparse_step": 1, "mlp_only_layers": [1, 3]},
}


@pytest.mark.parametrize("method", [m.id for m in METHODS.values() if m.family == "experts"])
@pytest.mark.parametrize("dense", DENSE_BETWEEN)
@pytest.mark.parametrize("name", ["qwen2-moe", "qwen3-moe"])
def test_experts_go_where_they_are_and_dense_layers_stay(name: str, dense: str, method: str) -> None:
    model = tiny(name, **DENSE_BETWEEN[dense])
    new, report = step(model, method, target={"sizes": {"experts": 4}})
    assert report.facts["experts"] == 4
    for old, left in zip(model.model.layers, new.model.layers, strict=True):
        before, after = (dict(layer.mlp.named_parameters()) for layer in (old, left))
        if "experts.down_proj" in before:
            assert after["experts.down_proj"].shape[0] == after["gate.weight"].shape[0] == 4
        else:
            assert before.keys() == after.keys() and all(torch.equal(after[k], before[k]) for k in before)
    assert torch.isfinite(output(new, ids())).all()


@pytest.mark.parametrize("method", ["width_norm", "width_activations", "width_taylor"])
def test_heads_go_from_a_mixture_with_dense_layers(method: str) -> None:
    model = tiny("qwen3-moe", decoder_sparse_step=2, mlp_only_layers=[])
    new, _ = step(model, method, target={"sizes": {"heads": 4, "kv_heads": 2}}, parts=("heads",))
    assert new.config.num_attention_heads == 4 and torch.isfinite(output(new, ids())).all()


def test_a_healed_step_says_so_and_is_closer_to_the_dense_model() -> None:
    """The recipe's step heals; the trial of it stands under a method of its own."""
    model = tiny("llama")
    target = {"block_fraction": 0.3}
    plain, _ = step(model, "width_norm", target=target)
    healed, report = step(model, "width_norm", target=target, heal="closed-form")
    dense = output(model, WINDOWS)
    assert float((output(healed, WINDOWS) - dense).square().sum()) < float(
        (output(plain, WINDOWS) - dense).square().sum()
    )
    assert report.facts["healing"]["tokens"] == 5 * 16 and report.facts["healing"]["held_out_tokens"] == 16
    assert any(note.startswith("Healed: ") for note in report.notes)
    trial = Trial(index=1, key="k", label="l", prune=Prune(method="width_norm", target=target, heal="closed-form"))
    assert trial.method == "width_norm+healed" and trial.prune is not None
    assert trial.prune.label() == "Width (weight norm), 30 % of block parameters removed, healed"


def test_flap_is_healed_without_a_bias_of_its_own() -> None:
    target = {"block_fraction": 0.3}
    plain, _ = step(tiny("llama"), "width_flap", target=target)
    healed, report = step(tiny("llama"), "width_flap", target=target, heal="closed-form")
    assert plain.config.mlp_bias is True and healed.config.mlp_bias is False
    assert not any("added to a bias" in note for note in report.notes)


def test_a_step_without_calibration_text_is_left_as_cut_and_says_so() -> None:
    prune = Prune(method="width_norm", target={"block_fraction": 0.3}, heal="closed-form")
    _, report = prune_structure(loaded(tiny("llama")), prune, None, None, InMemoryReporter())
    assert "healing" not in report.facts and any(note.startswith("Not healed: ") for note in report.notes)
