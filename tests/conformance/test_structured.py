"""Structured pruning against references written from the definitions.

Removing units must give the same function as the dense model with those units silenced by hooks, written
here by hand for every architecture. Removing layers must equal the dense model with those layers passed by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.engine.models.architectures import adapter_for
from core.engine.prune.surgery import Keep, cut
from tests.engine.models.zoo import CONFIGS, GROUPED, MOE, SQUARE, ids, output, tiny

STACKS: dict[str, str] = {
    "gpt2": "transformer.h",
    "gpt2-usual-width": "transformer.h",
    "opt": "model.decoder.layers",
    "gpt-neox": "gpt_neox.layers",
    "bert": "bert.encoder.layer",
    "bert-classifier": "bert.encoder.layer",
    "bert-encoder": "encoder.layer",
    "roberta": "roberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "distilbert-classifier": "distilbert.transformer.layer",
}
DOWN = {
    "gpt2": "mlp.c_proj",
    "opt": "fc2",
    "gpt-neox": "mlp.dense_4h_to_h",
    "bert": "output.dense",
    "roberta": "output.dense",
    "distilbert": "ffn.lin2",
}
NAMES = list(CONFIGS)
DENSE_MLP = [n for n in NAMES if n not in MOE]


def stack(name: str, model: PreTrainedModel) -> nn.ModuleList:
    return model.get_submodule(STACKS.get(name, "model.layers"))


def site(table: dict[str, str], name: str, default: str) -> str:
    return next((v for k, v in table.items() if name.startswith(k)), default)


@contextmanager
def hooked(pairs: list[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module, hook in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def silence(columns: Tensor) -> Callable[..., Any]:
    """Sets columns of a module's input to zero."""

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0].clone()
        x[..., columns] = 0
        return (x, *args[1:])

    return hook


def close(a: Tensor, b: Tensor) -> None:
    assert float((a - b).abs().max()) <= 1e-5 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_removing_nothing_is_the_identity(name: str) -> None:
    model = tiny(name)
    new = cut(model, adapter_for(model), Keep(list(range(4))))
    assert torch.equal(output(new, ids()), output(model, ids()))
    shared = {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in new.parameters()}
    assert not shared, "the new model must not share memory with the dense one"


@pytest.mark.parametrize("name", NAMES)
def test_removed_layers_equal_layers_passed_by(name: str) -> None:
    model = tiny(name)
    new = cut(model, adapter_for(model), Keep([0, 3]))
    blocks = stack(name, model)
    for i in (1, 2):
        blocks[i].forward = lambda hidden_states, *args, **kwargs: hidden_states
    close(output(new, ids()), output(model, ids()))


@pytest.mark.parametrize("name", DENSE_MLP)
def test_removed_neurons_equal_silenced_neurons(name: str) -> None:
    model = tiny(name)
    width = adapter_for(model).sizes["neurons"]
    kept = [torch.randperm(width, generator=torch.Generator().manual_seed(i))[:24].sort().values for i in range(4)]
    new = cut(model, adapter_for(model), Keep(list(range(4)), units={"neurons": kept}))
    pairs = []
    for block, k in zip(stack(name, model), kept, strict=True):
        gone = torch.tensor([i for i in range(width) if i not in set(k.tolist())])
        pairs.append((block.get_submodule(site(DOWN, name, "mlp.down_proj")), silence(gone)))
    with hooked(pairs):
        expected = output(model, ids())
    close(output(new, ids()), expected)
    assert float((output(model, ids()) - expected).abs().max()) > 1e-3, "silencing must matter for this to be a test"


def head_columns(heads: list[int], head_dim: int) -> Tensor:
    return torch.cat([torch.arange(h * head_dim, (h + 1) * head_dim) for h in heads])


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("how", ["heads", "groups"])
def test_removed_heads_equal_silenced_heads(name: str, how: str) -> None:
    """6 query heads in 2 groups: 2 of 3 stay in each, or one whole group stays."""
    model = tiny(name)
    architecture = adapter_for(model)
    if how == "heads":
        kept = [torch.tensor(h) for h in ([0, 2, 3, 4], [1, 2, 3, 5], [0, 1, 4, 5], [0, 2, 3, 5])]
        groups = [torch.tensor([0, 1])] * 4
    else:
        kept = [torch.tensor(h) for h in ([0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5])]
        groups = [torch.tensor([g]) for g in (0, 1, 0, 1)]
    new = cut(model, architecture, Keep(list(range(4)), units={"heads": kept, "kv_heads": groups}))
    pairs = []
    for block, k in zip(stack(name, model), kept, strict=True):
        gone = [h for h in range(6) if h not in k.tolist()]
        pairs.append((block.get_submodule("self_attn.o_proj"), silence(head_columns(gone, architecture.head_dim))))
    with hooked(pairs):
        expected = output(model, ids())
    close(output(new, ids()), expected)
    assert new.config.num_attention_heads % new.config.num_key_value_heads == 0


def rms_reference(norm: Any, kept: int, gemma: bool) -> Callable[..., Any]:
    """RMSNorm whose mean runs over `kept` channels (the others are zero), from its definition."""
    epsilon = norm.eps if gemma else norm.variance_epsilon

    def forward(x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().sum(-1, keepdim=True) / kept + epsilon)
        return x * scale * (1 + norm.weight if gemma else norm.weight)

    return forward


@pytest.mark.parametrize("name", GROUPED)
def test_removed_hidden_channels_equal_empty_channels(name: str) -> None:
    """Channels that are zero everywhere may go, once each norm's mean runs over the channels that are left.

    Removing channels changes the function by definition (a norm averages over fewer); with empty channels
    and norms written out over the kept ones, both models must agree. 48 channels, 36 stay.
    """
    model = tiny(name)
    kept = torch.randperm(48, generator=torch.Generator().manual_seed(5))[:36].sort().values
    gone = torch.tensor([i for i in range(48) if i not in set(kept.tolist())])
    with torch.no_grad():
        for parameter_name, p in model.named_parameters():
            if "embed_tokens" in parameter_name or parameter_name.endswith("experts.down_proj"):
                p[:, gone] = 0
            elif parameter_name.endswith(("o_proj.weight", "down_proj.weight", "o_proj.bias", "down_proj.bias")):
                p[gone] = 0
    new = cut(model, adapter_for(model), Keep(list(range(4)), hidden=kept))
    for module_name, module in model.named_modules():
        if module_name.endswith("norm") and "q_norm" not in module_name and "k_norm" not in module_name:
            module.forward = rms_reference(module, 36, gemma=name == "gemma3")
    if name == "gemma3":  # the embedding is scaled by the root of the hidden size
        model.model.embed_tokens.embed_scale = torch.tensor(36**0.5)
    close(output(new, ids()), output(model, ids()))
    assert new.config.hidden_size == 36


@pytest.mark.parametrize("name", SQUARE)
def test_removed_channels_with_their_heads(name: str) -> None:
    """Where heads times head_dim is the hidden size, 48 channels become 32 and 6 heads 4.

    LayerNorm subtracts the mean over all channels, so empty channels do not stay empty by themselves: in the
    reference every module that writes hidden states is made to write zeros there, and norms skip them.
    """
    model = tiny(name)
    channels = torch.randperm(48, generator=torch.Generator().manual_seed(6))[:32].sort().values
    heads = [torch.tensor([0, 2, 3, 5])] * 4
    new = cut(model, adapter_for(model), Keep(list(range(4)), hidden=channels, units={"heads": heads}))
    gone_heads = head_columns([1, 4], 8)
    gone = torch.tensor([i for i in range(48) if i not in set(channels.tolist())])
    o_site = site(
        {
            "gpt2": "attn.c_proj",
            "opt": "self_attn.out_proj",
            "gpt-neox": "attention.dense",
            "bert": "attention.output.dense",
            "roberta": "attention.output.dense",
            "distilbert": "attention.out_lin",
        },
        name,
        "",
    )
    for block in stack(name, model):
        block.get_submodule(o_site).register_forward_pre_hook(silence(gone_heads))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.forward = layer_norm_reference(module, channels)
        elif isinstance(module, nn.Embedding):
            with torch.no_grad():
                module.weight[:, gone] = 0
        elif isinstance(module, nn.Linear) and module.out_features == 48:
            if writes_hidden(module, model):
                module.register_forward_hook(empty_output(gone))
        elif type(module).__name__ == "Conv1D" and module.nf == 48:
            module.register_forward_hook(empty_output(gone))
    expected = output(model, ids())
    close(output(new, ids()), expected[..., channels] if name == "bert-encoder" else expected)
    assert new.config.hidden_size == 32 and new.config.num_attention_heads == 4


def layer_norm_reference(norm: nn.LayerNorm, kept: Tensor) -> Callable[[Tensor], Tensor]:
    """LayerNorm over the kept channels, from its definition; the others come out as zero."""

    def forward(x: Tensor) -> Tensor:
        part = x[..., kept]
        mean = part.mean(-1, keepdim=True)
        variance = (part - mean).square().mean(-1, keepdim=True)
        out = torch.zeros_like(x)
        out[..., kept] = (part - mean) / (variance + norm.eps).sqrt() * norm.weight[kept] + norm.bias[kept]
        return out

    return forward


def writes_hidden(module: nn.Module, model: PreTrainedModel) -> bool:
    """Query, key and value projections also have 48 outputs here, but those are head rows."""
    path = next(n for n, m in model.named_modules() if m is module)
    return not path.endswith(("query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin"))


def empty_output(gone: Tensor) -> Callable[..., Any]:
    def hook(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        out = out.clone()
        out[..., gone] = 0
        return out

    return hook


@pytest.mark.parametrize("name", MOE)
def test_removed_experts_equal_experts_never_chosen(name: str) -> None:
    """Their router rows give minus infinity, so the remaining experts share the gates among themselves."""
    model = tiny(name)
    kept = [torch.tensor(e) for e in ([0, 1, 4], [1, 2, 5], [0, 3, 5], [2, 3, 4])]
    new = cut(model, adapter_for(model), Keep(list(range(4)), units={"experts": kept}))
    for block, k in zip(stack(name, model), kept, strict=True):
        if hasattr(block.mlp, "experts"):
            router = block.mlp.gate
            gone = [e for e in range(6) if e not in k.tolist()]
            router.forward = router_reference(router, gone, name == "mixtral" or router.norm_topk_prob)
    close(output(new, ids()), output(model, ids()))


def router_reference(router: Any, gone: list[int], normalised: bool) -> Callable[[Tensor], Any]:
    def forward(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = hidden.reshape(-1, hidden.shape[-1]) @ router.weight.T
        logits[:, gone] = float("-inf")
        gates, chosen = logits.softmax(-1).topk(2, dim=-1)
        return logits, gates / gates.sum(-1, keepdim=True) if normalised else gates, chosen

    return forward


TIED = ["llama", "qwen3", "gemma3", "gpt2", "gpt2-usual-width", "opt", "bert", "roberta", "distilbert"]


@pytest.mark.parametrize("name", TIED)
def test_tied_weights_still_share_storage(name: str) -> None:
    model = tiny(name)
    assert model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    new = cut(model, adapter_for(model), Keep([0, 2]))
    assert new.get_output_embeddings().weight.data_ptr() == new.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize("name", DENSE_MLP)
def test_removing_neurons_of_zero_weights_is_the_identity(name: str) -> None:
    model = tiny(name)
    down = site(DOWN, name, "mlp.down_proj")
    width = adapter_for(model).sizes["neurons"]
    with torch.no_grad():
        for block in stack(name, model):
            weight = block.get_submodule(down).weight
            columns = weight.T if name.startswith("gpt2") else weight  # (out, in)
            columns[:, width - 8 :] = 0
    keep = Keep(list(range(4)), units={"neurons": [torch.arange(width - 8)] * 4})
    close(output(cut(model, adapter_for(model), keep), ids()), output(model, ids()))
