"""What a run should find, computed with plain transformers and a few lines of torch: nothing of the engine is used.

Models are Llamas in folders; texts are those of one file without an empty line at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

Keep = Callable[[str, Tensor], Tensor]
"""(name, weight (out, in)) -> what is left of it."""


def model_of(folder: Path) -> Any:
    """The model in `folder`, float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Every parameter of the model in `folder`, by name; tied ones once."""
    return {name: p.detach() for name, p in model_of(folder).named_parameters()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two models have the same parameters, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def matrices(model: Any) -> dict[str, nn.Linear]:
    """The linear layers inside the blocks."""
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}


def windows(text: Path, folder: Path, tokens: int, window: int) -> Tensor:
    """Of a text cut into windows from its start, as many as hold `tokens`, the middle one of each equal share."""
    ids = AutoTokenizer.from_pretrained(folder)(text.read_text())["input_ids"]
    cut = [ids[i : i + window] for i in range(0, len(ids) - window + 1, window)]
    count = tokens // window
    return torch.tensor([cut[math.floor(len(cut) * (i + 0.5) / count)] for i in range(count)])


@torch.no_grad()
def loss(model: Any, ids: Tensor) -> float:
    """Mean over all predicted tokens, in nats."""
    logits = model(ids).logits[:, :-1].double()  # (windows, window - 1, vocabulary)
    return float(nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


@torch.no_grad()
def apart(baseline: Any, model: Any, ids: Tensor) -> tuple[float, float]:
    """Mean KL(baseline || model) in nats over all predictions, and percent of them with the same likeliest token."""
    p, q = (m(ids).logits[:, :-1].double().log_softmax(-1) for m in (baseline, model))
    same_top = (p.argmax(-1) == q.argmax(-1)).double()
    return float((p.exp() * (p - q)).sum(-1).mean()), 100.0 * float(same_top.mean())


@torch.no_grad()
def pruned(model: Any, keep: Keep) -> Any:
    """The model with every matrix of its blocks replaced by what `keep` leaves of it."""
    for name, layer in matrices(model).items():
        layer.weight.copy_(keep(name, layer.weight))
    return model


def magnitude(sparsity: float) -> Keep:
    """Without the smallest weights of the whole matrix. Han et al. 2015."""

    def keep(name: str, weight: Tensor) -> Tensor:
        order = weight.abs().flatten().argsort(stable=True)[: int(weight.numel() * sparsity)]
        left = weight.flatten().clone()
        left[order] = 0
        return left.view_as(weight)

    return keep


def wanda(norms: dict[str, Tensor], sparsity: float) -> Keep:
    """Without the lowest |W_ij| ||X_j|| of each row. Sun et al. 2023."""

    def keep(name: str, weight: Tensor) -> Tensor:
        order = (weight.abs() * norms[name]).argsort(dim=1, stable=True)[:, : int(weight.shape[1] * sparsity)]
        return weight.scatter(1, order, 0.0)

    return keep


@torch.no_grad()
def input_norms(model: Any, ids: Tensor) -> dict[str, Tensor]:
    """The norm of each input of each matrix over all tokens, from one ordinary forward pass."""
    found: dict[str, Tensor] = {}

    def seen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[name] = args[0].double().flatten(0, -2).norm(dim=0).float()

        return hook

    handles = [layer.register_forward_pre_hook(seen(n)) for n, layer in matrices(model).items()]
    model(ids)
    for handle in handles:
        handle.remove()
    return found


def without_layers(model: Any, gone: list[int]) -> Any:
    """The model without some of its blocks: they are taken out of the list."""
    kept = [b for i, b in enumerate(model.model.layers) if i not in gone]
    model.model.layers = nn.ModuleList(kept)
    for at, block in enumerate(kept):
        block.self_attn.layer_idx = at
    model.config.num_hidden_layers = len(kept)
    model.config.layer_types = (
        None if not getattr(model.config, "layer_types", None) else model.config.layer_types[: len(kept)]
    )
    return model
