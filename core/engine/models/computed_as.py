"""How a model's attention is computed, which every figure of it goes by."""

from __future__ import annotations

from transformers import PreTrainedModel


def attention_of(model: PreTrainedModel) -> str:
    """transformers' name for it: `sdpa`, PyTorch's own, or `eager`, written out. What is cut from a model keeps it."""
    return str(model.config._attn_implementation or "none")


def remarks_on(model: PreTrainedModel) -> list[str]:
    """A sentence where PyTorch's own attention cannot be used."""
    if attention_of(model) != "eager":
        return []
    return [
        f"transformers has no attention of PyTorch's own for a {type(model).__name__}: it is computed written out, for "
        "this model and all candidates alike, which takes longer than a program made for this family would."
    ]
