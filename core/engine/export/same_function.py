"""Is an exported model still the same function? Random tokens through both, and the largest difference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.models.context import context_of

_TOLERANCE = 1e-3  # of the largest logit: float32 rounding stays far below, a wrong weight far above


class PlainForward(nn.Module):
    """A model as a function of token ids and attention mask (batch, tokens): its logits, or last hidden states."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.options: dict[str, Any] = {"use_cache": False} if model.can_generate() else {}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, **self.options)
        logits: Tensor = out.logits if "logits" in out else out.last_hidden_state
        return logits  # (batch, tokens, vocabulary)


def probe(model: PreTrainedModel, batch: int, tokens: int, padding: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids and mask (batch, tokens), the same every time; the last row ends in `padding` masked tokens."""
    config = model.config.get_text_config()
    context = context_of(model) or tokens + 2
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, config.vocab_size, (batch, min(tokens, context - 2)), generator=generator)
    pad = getattr(config, "pad_token_id", None)
    if pad is not None:  # some families tell positions from it
        ids[ids == pad] = (pad + 1) % config.vocab_size
    mask = torch.ones_like(ids)
    if padding:
        mask[-1, -padding:] = 0
    return ids, mask


def largest_difference(label: str, found: Tensor, expected: Tensor, mask: Tensor | None = None) -> float:
    """Largest absolute difference over the positions that count.

    Args:
        found, expected: (batch, tokens, vocabulary), or (batch, classes).
        mask: (batch, tokens), 1 where a position counts.

    Raises:
        RetortError: another shape, or a difference that rounding does not explain.
    """
    if found.shape != expected.shape:
        raise RetortError(
            f"The {label} gives an output of shape {tuple(found.shape)} where the model gives {tuple(expected.shape)}.",
            "Nothing was exported: use another format, and report this with the run's report.",
        )
    gap = (found.float() - expected.float()).abs()
    if mask is not None and gap.dim() == 3:
        gap = gap[mask.bool()]  # (counted, vocabulary)
    largest = float(gap.max())
    if not largest <= _TOLERANCE * float(expected.abs().max()):
        raise RetortError(
            f"The {label} computes something else than the model: its output differs by up to {largest:.2g}.",
            "Nothing was exported: use another format, and report this with the run's report.",
        )
    return largest
