"""Every family against its dense model with the same parts silenced by hooks, and in a fresh process.

Which module reads what was taken from transformers' source by hand (`tests/engine/models/families.py`), not from the
descriptions that the surgery goes by.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.engine.models.architectures import FAMILIES as KNOWN
from core.engine.models.architectures import adapter_for
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.prune.surgery import Keep, count_parameters, cut
from tests.engine.models.families import FAMILIES, ROWS, Member
from tests.engine.models.zoo import CONFIGS
from tests.engine.pairs import PAIRS

HEAD = 16
CHANNELS = torch.arange(64).view(4, 16)[[0, 2]].flatten()
"""Hidden channels that stay; as many as two heads of four have rows."""
TOKENS = torch.randint(5, ROWS, (2, 14), generator=torch.Generator().manual_seed(1))


def output(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(TOKENS).logits
        return found


def close(a: Tensor, b: Tensor) -> None:
    assert float((a - b).abs().max()) <= 2e-5 * max(1.0, float(b.abs().max()))


def silence(columns: Tensor) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0].clone()
        x[..., columns] = 0
        return (x, *args[1:])

    return hook


@contextmanager
def silenced(member: Member, model: PreTrainedModel, site: str, kept: list[Tensor]) -> Iterator[None]:
    """Zeros at the input of a module of each block, but for the columns that are kept."""
    with ExitStack() as stack:
        for block, k in zip(model.get_submodule(member.blocks), kept, strict=True):
            module = block.get_submodule(site)
            gone = torch.tensor([i for i in range(module.weight.shape[-1]) if i not in set(k.tolist())])
            stack.callback(module.register_forward_pre_hook(silence(gone)).remove)
        yield


def test_every_family_that_is_described_is_tried() -> None:
    """Those with an encoder and a decoder in `test_pair_parts`."""
    tried = {m.build().config.model_type for m in FAMILIES.values()} | {p().config.model_type for p in PAIRS.values()}
    assert set(KNOWN) == tried | {config.model_type for _, config, _ in CONFIGS.values()}


@pytest.mark.parametrize("name", [n for n, m in FAMILIES.items() if m.first >= 0])
def test_a_removed_layer_equals_a_layer_passed_by(name: str) -> None:
    member = FAMILIES[name]
    model, gone = member.build(), member.first
    kept = [i for i in range(4) if i != gone]
    new = cut(model, adapter_for(model), Keep(kept))
    block = model.get_submodule(member.blocks)[gone]
    before = block.forward

    def passing(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        out = before(hidden_states, *args, **kwargs)
        return (hidden_states, *out[1:]) if isinstance(out, tuple) else hidden_states

    dense = output(model)
    block.forward = passing
    close(output(new), output(model))
    assert float((dense - output(model)).abs().max()) > 1e-3, "the layer must matter for this to be a test"


@pytest.mark.parametrize("name", [n for n, m in FAMILIES.items() if m.down])
def test_removed_neurons_equal_silenced_neurons(name: str) -> None:
    member = FAMILIES[name]
    model = member.build()
    architecture = adapter_for(model)
    width = architecture.sizes["neurons"]
    kept = [
        torch.randperm(width, generator=torch.Generator().manual_seed(i))[:40].sort().values
        for i in range(architecture.layers)
    ]
    new = cut(model, architecture, Keep(list(range(architecture.layers)), units={"neurons": kept}))
    dense = output(model)
    with silenced(member, model, member.down, kept):
        close(output(new), output(model))
        assert float((dense - output(model)).abs().max()) > 1e-3


def columns(heads: Tensor) -> Tensor:
    return (heads[:, None] * HEAD + torch.arange(HEAD)).flatten()


@pytest.mark.parametrize("name", [n for n, m in FAMILIES.items() if m.out and not m.square and n != "olmo2"])
@pytest.mark.parametrize("how", ["heads", "groups"])
def test_removed_heads_equal_silenced_heads(name: str, how: str) -> None:
    """4 heads in 2 groups: one of each stays, or one whole group."""
    member = FAMILIES[name]
    model = member.build()
    if how == "heads":
        heads, groups = [torch.tensor(h) for h in ([0, 3], [1, 2], [0, 2], [1, 3])], [torch.arange(2)] * 4
    else:
        heads = [torch.tensor(h) for h in ([0, 1], [2, 3], [0, 1], [2, 3])]
        groups = [torch.tensor([g]) for g in (0, 1, 0, 1)]
    new = cut(model, adapter_for(model), Keep([0, 1, 2, 3], units={"heads": heads, "kv_heads": groups}))
    dense = output(model)
    with silenced(member, model, member.out, [columns(h) for h in heads]):
        close(output(new), output(model))
        assert float((dense - output(model)).abs().max()) > 1e-3


def test_heads_under_one_norm() -> None:
    """OLMo 2 norms queries and keys over all heads together: over the heads that stay, once others are gone."""
    member = FAMILIES["olmo2"]
    model = member.build()
    heads = torch.tensor([0, 3])
    units = {"heads": [heads] * 4, "kv_heads": [torch.arange(2)] * 4}
    new = cut(model, adapter_for(model), Keep([0, 1, 2, 3], units=units))
    for block in model.model.layers:
        block.self_attn.q_norm.forward = norm_over(block.self_attn.q_norm, columns(heads))
    with silenced(member, model, member.out, [columns(heads)] * 4):
        close(output(new), output(model))


def norm_over(norm: nn.Module, kept: Tensor) -> Callable[[Tensor], Tensor]:
    """The norm's own definition over the kept channels alone; the others come out as zero."""
    small = copy.deepcopy(norm)
    for name, parameter in norm.named_parameters(recurse=False):
        setattr(small, name, nn.Parameter(parameter.detach()[..., kept]))
    if isinstance(small, nn.LayerNorm):
        small.normalized_shape = (len(kept),)
    part = small.forward

    def forward(x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[..., kept] = part(x[..., kept])
        return out

    return forward


def keep_channels(member: Member, model: PreTrainedModel, kept: Tensor) -> None:
    """Makes the dense model compute with the kept channels alone: norms run over them, and what writes the others
    writes zeros."""
    gone = torch.tensor([i for i in range(64) if i not in set(kept.tolist())])

    def empty(module: nn.Module, args: Any, out: Any) -> Any:
        first = (out[0] if isinstance(out, tuple) else out).clone()
        first[..., gone] = 0
        return (first, *out[1:]) if isinstance(out, tuple) else first

    for name, module in model.named_modules():
        weight, last = getattr(module, "weight", None), name.rsplit(".", 1)[-1]
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        if "norm" in type(module).__name__.lower() and shape == (64,) and not name.endswith("q_norm"):
            module.forward = norm_over(module, kept)
        elif isinstance(module, nn.Embedding) and shape[1] == 64:
            with torch.no_grad():
                weight[:, gone] = 0
        elif hasattr(module, "gate_up_proj") or (shape[:1] == (64,) and last in WRITERS):
            module.register_forward_hook(empty)


WRITERS = {
    *("o_proj", "down_proj", "out_proj", "dense", "fc2", "fc_out", "dense_4h_to_h"),
    *("Wo", "ffn_output", "embeddings_project", "embedding_hidden_mapping_in"),
}
"""Last parts of the names of linear layers that write hidden states."""
HIDDEN = [n for n, m in FAMILIES.items() if m.hidden]


@pytest.mark.parametrize("name", HIDDEN)
def test_removed_channels_equal_channels_nobody_writes(name: str) -> None:
    """Of 64 channels 32 stay, and with them two of four heads where heads fill the hidden size."""
    member = FAMILIES[name]
    model = member.build()
    architecture = adapter_for(model)
    layers = list(range(architecture.layers))
    keep = Keep(layers, hidden=CHANNELS)
    if member.square:
        heads = torch.tensor([0, 2])
        keep.units["heads"] = [heads] * len(layers)
        if "kv_heads" in architecture.sizes:
            keep.units["kv_heads"] = [torch.arange(2)] * len(layers)
    new = cut(model, architecture, keep)
    keep_channels(member, model, CHANNELS)
    if name in ("gemma", "gemma2"):  # the embedding is scaled by the root of the hidden size
        model.model.embed_tokens.embed_scale = torch.tensor(32**0.5)
    with ExitStack() as stack:
        if member.square:
            stack.enter_context(silenced(member, model, member.out, [columns(heads)] * len(layers)))
        close(output(new), output(model))
    assert new.config.hidden_size == 32


@pytest.mark.parametrize("name", [n for n, m in FAMILIES.items() if m.experts])
def test_a_removed_expert_equals_one_that_is_never_chosen(name: str) -> None:
    """A router row of which every product is far below the others, and biases likewise."""
    member = FAMILIES[name]
    model = member.build()
    kept = torch.tensor([0, 2, 3])
    new = cut(model, adapter_for(model), Keep([0, 1, 2, 3], units={"experts": [kept] * 4}))
    for block in model.get_submodule(member.blocks):
        router = getattr(block.mlp, "router", None) or getattr(block.mlp, "gate", None)
        if router is not None:
            never_chosen(router, 1)
    close(output(new), output(model))
    assert getattr(new.config, member.experts) == 3


def never_chosen(router: nn.Module, expert: int) -> None:
    """The router's own forward, with the expert's score below all others."""
    before = torch.nn.functional.linear
    forward = router.forward

    def low(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        logits = before(x, weight, bias).clone()
        logits[..., expert] = -1e4
        return logits

    def watched(*args: Any, **kwargs: Any) -> Any:
        torch.nn.functional.linear = low  # type: ignore[assignment]
        try:
            return forward(*args, **kwargs)
        finally:
            torch.nn.functional.linear = before

    router.forward = watched


@pytest.fixture(scope="module")
def fresh() -> Iterator[ReloadProcess]:
    with ReloadProcess() as process:
        yield process


def smaller(member: Member, model: PreTrainedModel) -> Keep:
    """A layer fewer, and less of everything the family can lose."""
    architecture = adapter_for(model)
    kept = list(range(architecture.layers))
    if member.first >= 0:
        kept.remove(member.first)
    keep, n = Keep(kept), len(kept)
    if member.down:
        keep.units["neurons"] = [torch.arange(8, 40)] * n
    if member.experts:
        keep.units["experts"] = [torch.tensor([0, 2, 3])] * n
    if member.out and (member.hidden or not member.square):
        keep.units["heads"] = [torch.tensor([0, 2])] * n
        if "kv_heads" in architecture.sizes:
            keep.units["kv_heads"] = [torch.arange(2)] * n
    if member.hidden:
        keep.hidden = CHANNELS
    return keep


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_and_loaded_in_a_fresh_process(name: str, fresh: ReloadProcess, tmp_path: Path) -> None:
    """Plain transformers gives the same logits, and the same tokens with and without a cache."""
    member = FAMILIES[name]
    model = member.build()
    architecture, keep = adapter_for(model), smaller(member, model)
    new = cut(model, architecture, keep)
    counted = count_parameters(model, architecture, keep.sizes(architecture), keep.layers)
    assert counted.total == sum(p.numel() for p in new.parameters()) < sum(p.numel() for p in model.parameters())
    save_model(new, None, tmp_path / "out", {"Name": name})
    result = fresh.check(tmp_path / "out", TOKENS, output(new), prompt=6, new_tokens=8)
    assert result.max_logit_difference <= 1e-5
    assert result.cached_equals_uncached is (True if "CausalLM" in member.kind else None)
