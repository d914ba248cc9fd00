"""Healing against numpy's least squares on whole activations, recorded by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.healing import heal
from core.engine.prune.least_squares import RIDGES, Moments, best_change, solve
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.surgery import Keep, cut
from tests.engine.models.zoo import ids, tiny

WINDOWS = ids(batch=24, length=16)
FITTED = 20 * 16  # tokens of the first four fifths: batches of 4 windows, the last of 6 is held out
FAMILIES = {
    "llama": ("model.layers.{}", "mlp.down_proj", "self_attn.o_proj"),
    "gpt2": ("transformer.h.{}", "mlp.c_proj", "attn.c_proj"),
    "opt": ("model.decoder.layers.{}", "fc2", "self_attn.out_proj"),
    "gpt-neox": ("gpt_neox.layers.{}", "mlp.dense_4h_to_h", "attention.dense"),
    "bert": ("bert.encoder.layer.{}", "output.dense", "attention.output.dense"),
    "gemma3": ("model.layers.{}", "mlp.down_proj", "self_attn.o_proj"),
}


def healed(model: PreTrainedModel, keep: Keep) -> tuple[PreTrainedModel, PreTrainedModel, PruneReport]:
    """The smaller model as it was cut, the same healed, and what was said."""
    architecture, report = adapter_for(model), PruneReport()
    with torch.no_grad():
        plain, smaller = cut(model, architecture, keep), cut(model, architecture, keep)
    heal(model, smaller, keep, WINDOWS, InMemoryReporter(), report)
    return plain, smaller, report


def seen(model: PreTrainedModel, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What goes into a module and what comes out, (tokens, width) in float64, of all windows at once."""
    found: list[Tensor] = []
    module = model.get_submodule(name)
    handle = module.register_forward_hook(lambda m, args, out: found.extend((args[0], first(out))))
    with torch.no_grad():
        model(WINDOWS)
    handle.remove()
    return tuple(f.reshape(WINDOWS.numel(), -1).double().numpy() for f in found)  # type: ignore[return-value]


def first(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


def matrix(model: PreTrainedModel, name: str) -> np.ndarray:
    """(in, out), and the bias as a last row where there is one."""
    module = model.get_submodule(name)
    weight = module.weight.detach().double()
    weight = weight if type(module).__name__ == "Conv1D" else weight.T
    rows = [weight] if module.bias is None else [weight, module.bias.detach().double()[None]]
    return torch.cat(rows).numpy()


def ridge_by_numpy(
    x: np.ndarray, lacking: np.ndarray, ridge: float, intercept: bool, weights: np.ndarray | None = None
) -> np.ndarray:
    """Least squares on rows that spell the ridge out: a row per weight, none for the bias."""
    weights = np.ones(len(x)) if weights is None else weights
    x, lacking = x * weights[:, None], lacking * weights[:, None]
    strength = np.sqrt(ridge * np.mean(np.sum(x**2, axis=0)))
    rows = np.eye(x.shape[1]) * strength
    if intercept:
        x, rows = np.hstack([x, weights[:, None]]), np.hstack([rows, np.zeros((len(rows), 1))])
    zeros = np.zeros((len(rows), lacking.shape[1]))
    return np.linalg.lstsq(np.vstack([x, rows]), np.vstack([lacking, zeros]), rcond=None)[0]


def weights_of(model: PreTrainedModel, block: str) -> np.ndarray:
    """(tokens,): one over the root mean square of what the dense model's block gives."""
    return 1 / np.sqrt(np.mean(seen(model, block)[1] ** 2, axis=1))


def dense_layer_in(smaller: PreTrainedModel, dense: PreTrainedModel, block: str) -> PreTrainedModel:
    """The smaller model with the dense model's layer in one place."""
    mixed = copy.deepcopy(smaller)
    path, _, index = block.rpartition(".")
    mixed.get_submodule(path)[int(index)] = dense.get_submodule(block)  # type: ignore[operator]
    return mixed


def keep_neurons(architecture: Any, count: int) -> Keep:
    width = architecture.sizes["neurons"]
    kept = [torch.randperm(width, generator=torch.Generator().manual_seed(i))[:count].sort().values for i in range(4)]
    return Keep(list(range(4)), units={"neurons": kept})


@pytest.mark.parametrize("intercept", [False, True])
def test_the_solve_is_numpys_least_squares(intercept: bool) -> None:
    generator = np.random.default_rng(0)
    x, lacking = generator.normal(size=(90, 12)), generator.normal(size=(90, 5)) + 0.5
    weights = generator.uniform(0.1, 3.0, size=90)
    moments = Moments(12, 5, torch.device("cpu"), intercept)
    for part in (slice(0, 40), slice(40, 90)):
        moments.add(torch.tensor(x[part]), torch.tensor(lacking[part]), torch.tensor(weights[part]).float())
    for ridge in RIDGES:
        expected = ridge_by_numpy(x, lacking, ridge, intercept, weights)
        np.testing.assert_allclose(solve(moments, ridge).numpy(), expected, rtol=1e-4, atol=1e-5)
        whole = np.hstack([x, np.ones((90, 1))]) if intercept else x
        left = np.sum(((lacking - whole @ expected) * weights[:, None]) ** 2)
        assert moments.left(torch.tensor(expected)) == pytest.approx(left, rel=1e-5)


def test_the_ridge_is_the_one_that_is_best_on_held_out_tokens() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(6, 3))
    for noise, tokens in ((0.3, 60), (6.0, 30)):
        x, other = generator.normal(size=(tokens, 6)), generator.normal(size=(400, 6))
        fitted, held_out = (Moments(6, 3, torch.device("cpu")) for _ in range(2))
        lacking = x @ truth + generator.normal(size=(tokens, 3)) * noise
        fitted.add(torch.tensor(x), torch.tensor(lacking), torch.ones(tokens))
        held_out.add(torch.tensor(other), torch.tensor(other @ truth), torch.ones(400))
        errors = [float(np.sum((other @ truth - other @ ridge_by_numpy(x, lacking, r, False)) ** 2)) for r in RIDGES]
        assert best_change(fitted, held_out).ridge == RIDGES[int(np.argmin(errors))]
        assert best_change(fitted, held_out).after == pytest.approx(min(errors), rel=1e-3)


def test_too_little_text_raises_the_ridge_and_is_said() -> None:
    model = tiny("llama")
    architecture, report = adapter_for(model), PruneReport()
    keep = keep_neurons(architecture, 24)
    with torch.no_grad():
        smaller = cut(model, architecture, keep)
    heal(model, smaller, keep, WINDOWS[:2], InMemoryReporter(), report)  # 16 tokens for 24 neurons
    assert all(m["ridge"] >= 0.1 for m in report.facts["healing"]["matrices"])
    assert any("little calibration text" in note for note in report.notes)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_neurons_are_healed_as_least_squares_say(name: str) -> None:
    """Layer after layer: inputs as the healed model gives them, targets of the dense layer on the same inputs."""
    model = tiny(name)
    keep = keep_neurons(adapter_for(model), 24)
    plain, smaller, report = healed(model, keep)
    block, down, _ = FAMILIES[name]
    for layer, fact in enumerate(report.facts["healing"]["matrices"]):
        path = f"{block.format(layer)}.{down}"
        assert (fact["layer"], fact["part"]) == (layer, down)
        x, _ = seen(smaller, path)
        bias = model.get_submodule(path).bias is not None
        cut_as = matrix(plain, path)
        given = (np.hstack([x, np.ones((len(x), 1))]) if bias else x) @ cut_as
        mixed = dense_layer_in(smaller, model, block.format(layer))
        wanted = seen(mixed, path)[1]
        lacking, w = wanted - given, weights_of(mixed, block.format(layer))
        fit = ridge_by_numpy(x[:FITTED], lacking[:FITTED], fact["ridge"], bias, w[:FITTED])
        expected = cut_as + fit * fact["applied"]
        np.testing.assert_allclose(matrix(smaller, path), expected, rtol=1e-3, atol=3e-3)
        whole = np.hstack([x, np.ones((len(x), 1))]) if bias else x
        target = np.sum((wanted * w[:, None])[FITTED:] ** 2)
        lacking *= w[:, None]
        error = np.sum((lacking - whole @ fit * w[:, None])[FITTED:] ** 2) / target
        assert fact["error_after"] == pytest.approx(error, rel=3e-2)
        if not report.facts["healing"]["applied"]:
            break  # the layers after it read what no healed layer gives any more
        assert fact["error_before"] == pytest.approx(np.sum(lacking[FITTED:] ** 2) / target, rel=3e-2)
    facts = report.facts["healing"]
    assert facts["applied"] == any(m["applied"] for m in facts["matrices"]) == (facts["kl_healed"] < facts["kl_as_cut"])
    expected = divergence(model, plain)
    assert facts["kl_as_cut"] == pytest.approx(expected, rel=1e-2, abs=1e-7)
    assert divergence(model, smaller) == pytest.approx(min(expected, facts["kl_healed"]), rel=1e-2, abs=1e-7)
    assert facts["applied"] == (name != "gemma3"), "there the errors add up, and all is put back"


def divergence(dense: PreTrainedModel, model: PreTrainedModel) -> float:
    """KL by hand on the held-out windows."""
    with torch.no_grad():
        p, q = (torch.softmax(m(WINDOWS[20:]).logits.double(), -1) for m in (dense, model))
    return float((p * (p / q).log()).sum(-1).mean())


@pytest.mark.parametrize("name", ["llama", "llama-bias", "phi3", "mixtral"])
def test_groups_are_healed_through_the_output_projection(name: str) -> None:
    model = tiny(name)
    architecture = adapter_for(model)
    group = architecture.group
    keep = Keep(list(range(4)), units={"heads": [torch.arange(group)] * 4, "kv_heads": [torch.tensor([0])] * 4})
    plain, smaller, report = healed(model, keep)
    facts = report.facts["healing"]["matrices"]
    assert [m["part"] for m in facts] == ["self_attn.o_proj"] * 4 and facts[0]["applied"]
    path = "model.layers.0.self_attn.o_proj"
    x, given = seen(plain, path)
    bias = plain.get_submodule(path).bias is not None
    weights = weights_of(model, "model.layers.0")
    lacking = seen(model, path)[1] - given
    change = ridge_by_numpy(x[:FITTED], lacking[:FITTED], facts[0]["ridge"], bias, weights[:FITTED])
    np.testing.assert_allclose(matrix(smaller, path), matrix(plain, path) + change, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gpt-neox"])
def test_removed_layers_are_folded_into_the_projection_before_them(name: str) -> None:
    """The layer before must give the hidden state the dense model has after the last removed layer."""
    model = tiny(name)
    plain, smaller, report = healed(model, Keep([0, 3]))
    block, down, _ = FAMILIES[name]
    (fact,) = report.facts["healing"]["matrices"]
    assert (fact["layer"], fact["part"], fact["applied"]) == (0, down, True)
    path = f"{block.format(0)}.{down}"
    x, _ = seen(plain, path)
    lacking = seen(model, block.format(2))[1] - seen(plain, block.format(0))[1]
    bias = plain.get_submodule(path).bias is not None
    w = weights_of(model, block.format(2))
    change = ridge_by_numpy(x[:FITTED], lacking[:FITTED], fact["ridge"], bias, w[:FITTED])
    np.testing.assert_allclose(matrix(smaller, path), matrix(plain, path) + change, rtol=1e-3, atol=1e-3)
    wanted = seen(model, block.format(2))[1]
    errors = [np.sum(((seen(m, block.format(0))[1] - wanted) * w[:, None]) ** 2) for m in (plain, smaller)]
    assert errors[1] < errors[0]
    for other in (n for n, _ in plain.named_parameters() if not n.startswith(path)):
        assert torch.equal(plain.get_parameter(other), smaller.get_parameter(other)), other


@pytest.mark.parametrize("name", ["bert", "gemma3", "distilbert"])
def test_layers_before_a_norm_are_not_healed_and_that_is_said(name: str) -> None:
    model = tiny(name)
    plain, smaller, report = healed(model, Keep([0, 3]))
    assert "does not reach the next layer as it is" in " ".join(report.notes)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), smaller.parameters(), strict=True))


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_healing_of_nothing_removed_is_the_identity(name: str) -> None:
    model = tiny(name)
    architecture = adapter_for(model)
    everything = [torch.arange(architecture.sizes["neurons"])] * 4
    _, smaller, report = healed(model, Keep(list(range(4)), units={"neurons": everything}))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), smaller.parameters(), strict=True))
    assert not any(m["applied"] for m in report.facts["healing"]["matrices"])


def test_a_removed_dead_unit_changes_nothing() -> None:
    model = tiny("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight[5] = 0  # this neuron gives nothing
    kept = torch.tensor([i for i in range(40) if i != 5])
    plain, smaller, _ = healed(model, Keep(list(range(4)), units={"neurons": [kept] * 4}))
    for a, b in zip(plain.parameters(), smaller.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_what_a_dropped_copy_gave_comes_back_whole() -> None:
    """Of two neurons that give the same, one goes: the other's column must become the sum of both."""
    model = tiny("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            for projection in (layer.mlp.gate_proj, layer.mlp.up_proj):
                projection.weight[7] = projection.weight[6]
    kept = torch.tensor([i for i in range(40) if i != 7])
    plain, smaller, _ = healed(model, Keep(list(range(4)), units={"neurons": [kept] * 4}))
    dense, *others = (m(WINDOWS).logits.detach() for m in (model, plain, smaller))
    errors = [float((o - dense).abs().max()) for o in others]
    assert errors[1] < 0.02 * errors[0]


def test_tied_weights_stay_tied_and_the_dense_model_stays_as_it_is() -> None:
    model = tiny("llama")
    before = [p.detach().clone() for p in model.parameters()]
    _, smaller, _ = healed(model, keep_neurons(adapter_for(model), 24))
    assert smaller.lm_head.weight is smaller.model.embed_tokens.weight
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_cannot_be_healed_is_said() -> None:
    model = tiny("llama")
    _, _, report = healed(model, Keep([1, 2], hidden=torch.arange(24)))
    assert "where hidden channels go" in " ".join(report.notes) and "healing" not in report.facts
    _, _, report = healed(model, Keep([1, 3]))
    assert "no layer is before them" in " ".join(report.notes)
    _, _, report = healed(tiny("mixtral"), Keep([0, 3]))
    assert "no single projection before them" in " ".join(report.notes)
