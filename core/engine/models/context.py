"""How many tokens a loaded model reads at a time, and how a batch of texts is padded for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from core.catalogue.positions import usable_positions


def context_of(model: PreTrainedModel) -> int | None:
    """Tokens the model reads at most at a time; None where its positions have no end."""
    config: Any = model.config.get_text_config()
    return usable_positions(str(config.model_type), lambda name: getattr(config, name, None))


def padding_of(config: PreTrainedConfig) -> int | None:
    """The token the model itself takes for padding; None where its config names none it has an embedding for."""
    inner: Any = config.get_text_config()
    found, rows = getattr(inner, "pad_token_id", None), getattr(inner, "vocab_size", 0)
    return found if isinstance(found, int) and 0 <= found < rows else None


def pools_last(model: PreTrainedModel) -> bool:
    """Whether a classifier looks at a text's last token, and so has to know which tokens are padding."""
    return hasattr(model, "score") and model.get_submodule("score") is not None


def padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask (batch, longest), padded on the right."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), fill, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[i, : len(row)] = 1
    return ids, mask
