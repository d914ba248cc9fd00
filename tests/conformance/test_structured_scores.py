"""Importance scores against references that record whole activations and apply the definitions to them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.depth import DepthContext, angular, loss_ablation, taylor
from core.engine.prune.statistics import Statistics, collect
from core.engine.prune.structured import structure_observers
from core.engine.prune.surgery import Keep, cut
from core.engine.prune.width import choose_units, flap, minitron, weight_norm
from core.engine.prune.width import taylor as width_taylor
from tests.engine.models.zoo import MOE, ids, tiny

WINDOWS = ids(batch=5, length=12)
NEEDS = ("last_hidden", "unit_activations", "fluctuation")


def statistics(model: PreTrainedModel, folder: Path, needs: tuple[Any, ...] = NEEDS) -> Statistics:
    return collect(model, WINDOWS, structure_observers(model, needs), InMemoryReporter(), batch=2, folder=folder)


def context(model: PreTrainedModel, known: Statistics | None, count: int = 0, protect: tuple[int, ...] = ()) -> Any:
    free = tuple(i for i in range(4) if i not in protect)
    return DepthContext(model, adapter_for(model), known, WINDOWS, count, free, InMemoryReporter(), [])


def recorded(model: PreTrainedModel, names: list[str], what: str) -> dict[str, Tensor]:
    """Inputs or outputs of modules for all windows at once, (sequences, tokens, width)."""
    seen: dict[str, Tensor] = {}
    handles = []
    for name in names:

        def hook(module: nn.Module, args: Any, kwargs: Any, out: Any, name: str = name) -> None:
            first = args[0] if args else kwargs["hidden_states"]
            value = first if what == "input" else out
            seen[name] = value.reshape(*WINDOWS.shape, -1)

        handles.append(model.get_submodule(name).register_forward_hook(hook, with_kwargs=True))
    with torch.no_grad():
        model(WINDOWS)
    for handle in handles:
        handle.remove()
    return seen


def minitron_reference(a: Tensor) -> Tensor:
    """sqrt(sum over the batch of (mean over tokens of |a|)^2), one unit after another."""
    return torch.tensor(
        [math.sqrt(sum(float(a[b, :, u].abs().mean()) ** 2 for b in range(a.shape[0]))) for u in range(a.shape[2])]
    )


SITES = {
    "llama": ("model.layers.{}", "mlp.down_proj", "self_attn.o_proj", ["input_layernorm", "post_attention_layernorm"]),
    "gpt2": ("transformer.h.{}", "mlp.c_proj", "attn.c_proj", ["ln_1", "ln_2"]),
    "opt": ("model.decoder.layers.{}", "fc2", "self_attn.out_proj", ["self_attn_layer_norm", "final_layer_norm"]),
    "bert": (
        "bert.encoder.layer.{}",
        "output.dense",
        "attention.output.dense",
        ["attention.output.LayerNorm", "output.LayerNorm"],
    ),
}


@pytest.mark.parametrize("name", SITES)
def test_minitron_activations(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    known = statistics(model, tmp_path)
    block, neurons, heads, norms = SITES[name]
    for i in (0, 3):
        prefix = block.format(i)
        inputs = recorded(model, [f"{prefix}.{neurons}", f"{prefix}.{heads}"], "input")
        outputs = recorded(model, [f"{prefix}.{n}" for n in norms], "output")
        found = known.block(i, "unit_activations")
        torch.testing.assert_close(found["neurons"], minitron_reference(inputs[f"{prefix}.{neurons}"]))
        by_head = inputs[f"{prefix}.{heads}"].reshape(*WINDOWS.shape, 6, 8).square().sum(-1).sqrt()
        torch.testing.assert_close(found["heads"], minitron_reference(by_head))
        torch.testing.assert_close(found["hidden"], sum(minitron_reference(o) for o in outputs.values()))


def test_minitron_keeps_the_most_active(tmp_path: Path) -> None:
    model = tiny("llama")
    known = statistics(model, tmp_path)
    sizes = {**adapter_for(model).sizes, "neurons": 16, "heads": 4, "hidden": 32}
    keep = choose_units(context(model, known), minitron, sizes, [0, 1, 2, 3])
    for i in range(4):
        found = known.block(i, "unit_activations")
        assert set(keep.units["neurons"][i].tolist()) == set(found["neurons"].topk(16).indices.tolist())
        expected = {g * 3 + int(h) for g in range(2) for h in found["heads"][g * 3 : g * 3 + 3].topk(2).indices}
        assert set(keep.units["heads"][i].tolist()) == expected  # two of three in each group
    total = sum(known.block(i, "unit_activations")["hidden"] for i in range(4))
    assert keep.hidden is not None and set(keep.hidden.tolist()) == set(total.topk(32).indices.tolist())


def test_whole_groups_go_by_the_sum_of_their_heads(tmp_path: Path) -> None:
    model = tiny("llama")
    known = statistics(model, tmp_path)
    sizes = {**adapter_for(model).sizes, "heads": 3, "kv_heads": 1}
    keep = choose_units(context(model, known), minitron, sizes, [1, 2])
    for position, layer in enumerate((1, 2)):
        heads = known.block(layer, "unit_activations")["heads"]
        group = int(heads[3:].sum() > heads[:3].sum())
        assert keep.units["kv_heads"][position].tolist() == [group]
        assert keep.units["heads"][position].tolist() == [group * 3 + h for h in range(3)]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_flap_scores_and_bias(name: str, tmp_path: Path) -> None:
    """Var(X_j) * ||W_:j||^2, and the removed columns' mean contribution in the bias."""
    model = tiny(name)
    known = statistics(model, tmp_path)
    block, neurons, _, _ = SITES[name]
    sizes = {**adapter_for(model).sizes, "neurons": 24}
    keep = choose_units(context(model, known), flap, sizes, [0, 1, 2, 3])
    for i in range(4):
        path = f"{block.format(i)}.{neurons}"
        x = recorded(model, [path], "input")[path].flatten(0, 1).double()  # (tokens, neurons)
        stored = model.get_submodule(path).weight.detach().double()
        weight = stored.T if name == "gpt2" else stored  # (hidden, neurons)
        score = x.var(0, correction=0) * weight.square().sum(0)
        expected = score.topk(24).indices
        assert set(keep.units["neurons"][i].tolist()) == set(expected.tolist())
        gone = [j for j in range(40) if j not in expected.tolist()]
        torch.testing.assert_close(
            keep.bias["neurons"][i].double(), weight[:, gone] @ x.mean(0)[gone], rtol=1e-5, atol=1e-6
        )


def test_flap_makes_up_for_neurons_that_never_change(tmp_path: Path) -> None:
    """A neuron with a constant output is removed without any loss: its mean is all it ever said."""
    model = tiny("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            block.mlp.c_fc.weight[:, ::2] = 0  # every second neuron sees its bias only
    known = statistics(model, tmp_path)
    sizes = {**adapter_for(model).sizes, "neurons": 20}
    new = cut(model, adapter_for(model), choose_units(context(model, known), flap, sizes, [0, 1, 2, 3]))
    with torch.inference_mode():
        torch.testing.assert_close(new(ids()).logits, model(ids()).logits, rtol=1e-4, atol=1e-4)


def test_flap_turns_on_the_bias_a_llama_can_have(tmp_path: Path) -> None:
    model = tiny("llama")
    sizes = {**adapter_for(model).sizes, "neurons": 24}
    new = cut(
        model, adapter_for(model), choose_units(context(model, statistics(model, tmp_path)), flap, sizes, [0, 1, 2, 3])
    )
    assert new.config.mlp_bias is True and model.config.mlp_bias is False
    assert float(new.model.layers[0].mlp.down_proj.bias.detach().abs().max()) > 0
    assert float(new.model.layers[0].mlp.up_proj.bias.detach().abs().max()) == 0


def test_flap_says_where_no_bias_can_be(tmp_path: Path) -> None:
    model = tiny("mistral")
    ctx = context(model, statistics(model, tmp_path))
    keep = choose_units(ctx, flap, {**adapter_for(model).sizes, "neurons": 24}, [0, 1, 2, 3])
    assert not keep.bias and "no bias there" in ctx.notes[0]


def loss_of(model: PreTrainedModel) -> Tensor:
    logits = model(WINDOWS, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), WINDOWS[:, 1:].flatten())


def test_taylor_sums(tmp_path: Path) -> None:
    """|w * dL/dw| by autograd on all windows at once, summed by hand over what a unit owns."""
    model = tiny("llama")
    loss_of(model).backward()
    product = {n: (p * p.grad).abs().detach() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    blocks = [sum(float(v.sum()) for n, v in product.items() if f"layers.{i}." in n) for i in range(4)]
    ctx = context(model, None, count=2)
    assert taylor(ctx) == sorted(range(4), key=lambda i: blocks[i])
    sizes = {**adapter_for(model).sizes, "neurons": 24, "heads": 4}
    keep = choose_units(ctx, width_taylor, sizes, [0, 1, 2, 3])
    for i in range(4):
        mlp, attention = f"model.layers.{i}.mlp", f"model.layers.{i}.self_attn"
        neurons = (
            product[f"{mlp}.gate_proj.weight"].sum(1)
            + product[f"{mlp}.up_proj.weight"].sum(1)
            + product[f"{mlp}.down_proj.weight"].sum(0)
        )
        assert set(keep.units["neurons"][i].tolist()) == set(neurons.topk(24).indices.tolist())
        heads = product[f"{attention}.q_proj.weight"].view(6, -1).sum(1) + product[f"{attention}.o_proj.weight"].sum(
            0
        ).view(6, 8).sum(1)
        expected = {g * 3 + int(h) for g in range(2) for h in heads[g * 3 : g * 3 + 3].topk(2).indices}
        assert set(keep.units["heads"][i].tolist()) == expected
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_weight_norms() -> None:
    model = tiny("gpt-neox")
    keep = choose_units(context(model, None), weight_norm, {**adapter_for(model).sizes, "neurons": 24}, [0, 1, 2, 3])
    for i, block in enumerate(model.gpt_neox.layers):
        up, down = block.mlp.dense_h_to_4h, block.mlp.dense_4h_to_h
        squares = up.weight.square().sum(1) + up.bias.square() + down.weight.square().sum(0)
        assert set(keep.units["neurons"][i].tolist()) == set(squares.topk(24).indices.tolist())


def test_angular_distance_picks_the_run_that_turns_least(tmp_path: Path) -> None:
    model = tiny("llama")
    known = statistics(model, tmp_path)
    with torch.no_grad():
        states = list(model.model(WINDOWS, output_hidden_states=True).hidden_states)
    states[4] = recorded(model, ["model.layers.3"], "output")["model.layers.3"]  # before the final norm
    distance = []
    for start in range(3):
        angles = []
        for s in range(len(WINDOWS)):
            a, b = states[start][s, -1].double(), states[start + 2][s, -1].double()
            angles.append(math.acos(float(a @ b / (a.norm() * b.norm()))) / math.pi)
        distance.append(sum(angles) / len(angles))
    best = min(range(3), key=lambda i: distance[i])
    order = angular(context(model, known, count=2))
    assert order[:2] == [best, best + 1] and sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox", "gemma3"])
def test_loss_ablation_is_the_greedy_search(name: str) -> None:
    model = tiny(name)
    architecture = adapter_for(model)
    gone: list[int] = []
    for _ in range(2):
        losses = {}
        for candidate in (i for i in range(4) if i not in gone and i != 1):
            kept = [i for i in range(4) if i not in {*gone, candidate}]
            with torch.inference_mode():
                losses[candidate] = float(loss_of(cut(model, architecture, Keep(kept))))
        gone.append(min(losses, key=lambda i: losses[i]))
    assert loss_ablation(context(model, None, count=2, protect=(1,)))[:2] == gone
    assert all("forward" not in vars(block) for block in architecture.blocks(model))


@pytest.mark.parametrize("name", MOE)
def test_reap_saliency(name: str, tmp_path: Path) -> None:
    """Mean over the tokens routed to an expert of its gate times the norm of its output, token by token."""
    model = tiny(name).requires_grad_(False)
    known = statistics(model, tmp_path, ("expert_saliency",))
    for i, layer in enumerate(model.model.layers):
        if not hasattr(layer.mlp, "experts"):
            assert known.block(i, "expert_saliency") == {}
            continue
        x = recorded(model, [f"model.layers.{i}.mlp"], "input")[f"model.layers.{i}.mlp"].flatten(0, 1)
        probabilities = (x @ layer.mlp.gate.weight.T).softmax(-1)
        sums, counts = torch.zeros(6), torch.zeros(6)
        for t in range(len(x)):
            gates, chosen = probabilities[t].topk(2)
            if name != "qwen2-moe":  # Mixtral and this Qwen3 share the gates out among the chosen
                gates = gates / gates.sum()
            for gate, e in zip(gates, chosen, strict=True):
                up = layer.mlp.experts.gate_up_proj[e] @ x[t]
                width = len(up) // 2
                out = layer.mlp.experts.down_proj[e] @ (nn.functional.silu(up[:width]) * up[width:])
                sums[e] += float(gate * out.norm())
                counts[e] += 1
        found = known.block(i, "expert_saliency")
        assert found["tokens"].tolist() == counts.long().tolist()
        torch.testing.assert_close(found["saliency"], sums / counts.clamp(min=1), rtol=1e-4, atol=1e-6)
