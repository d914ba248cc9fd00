"""Low-rank adapters through peft: put in place inside the model, and merged away at the end."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.base.errors import Impossible
from core.engine.models.matrices import prunable
from core.recipe.distil import Lora


def add_lora(model: PreTrainedModel, lora: Lora, seed: int) -> int:
    """Freezes the model and adds trainable adapters to its linear layers (Hu et al. 2021); returns how many.

    At the start they change nothing.

    Raises:
        RetortError: none of the named modules exists.
    """
    from peft import LoraConfig, inject_adapter_in_model  # slow to import, and few runs need it

    linear = {m.module: m.name for m in prunable(model) if isinstance(m.module, nn.Linear | Conv1D)}
    names = [n for n in linear.values() if not lora.modules or n.rsplit(".", 1)[-1] in lora.modules]
    if not names:
        known = sorted({n.rsplit(".", 1)[-1] for n in linear.values()})
        raise Impossible(
            f"The model has no linear layer named {', '.join(lora.modules) or 'at all inside its blocks'}.",
            f"Choose among: {', '.join(known)}." if known else "Train all weights instead.",
        )
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names,
        bias="none",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in linear),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    return len(names)


def merge_lora(model: PreTrainedModel) -> None:
    """Adds every adapter to the weights it adapts and takes it out: an ordinary model is left."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, m) for name, m in model.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    model.requires_grad_(True)
