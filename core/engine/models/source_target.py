"""What a model is called with for a window of tokens, whether it has one stack of layers or an encoder and a decoder.

Of a window for an encoder-decoder the first half is the source, which the encoder reads, and the second half the
target, which the decoder has to write. It is taught as in training (teacher forcing): each token of the target is
predicted from the source and the true tokens before it. Raffel et al. 2020, section 3.2.2 and figure 4 (prefix LM).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.models.context import padding_of


def inputs_of(model: PreTrainedModel, windows: Tensor) -> dict[str, Tensor]:
    """The arguments of the model's forward for windows (batch, window): the ids, and for an encoder-decoder source,
    mask, and what its decoder reads."""
    if not model.config.is_encoder_decoder:
        return {"input_ids": windows}
    source, target = halves(windows)
    return {
        "input_ids": source,
        "attention_mask": _counted(model, source).long(),
        "decoder_input_ids": shifted(model, target),
    }


def halves(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Source (batch, window // 2) and target (batch, the rest) of windows (batch, window)."""
    middle = windows.shape[1] // 2
    return windows[:, :middle], windows[:, middle:]


def shifted(model: PreTrainedModel, target: Tensor) -> Tensor:
    """What the decoder reads to write the target (batch, tokens): its start token, then all but the last of them."""
    start = torch.full_like(target[:, :1], start_token(model))
    return torch.cat([start, target[:, :-1]], dim=1)


def start_token(model: PreTrainedModel) -> int:
    """The token a decoder begins with.

    Raises:
        RetortError: the config names none.
    """
    config: Any = model.config
    found = getattr(config, "decoder_start_token_id", None)
    if found is None:
        found = getattr(model.generation_config, "decoder_start_token_id", None)
    if not isinstance(found, int):
        raise RetortError(
            "The model's config does not say which token its decoder begins with ('decoder_start_token_id').",
            "Write it into config.json: for T5 it is the padding token, 0; for BART the end token, 2.",
        )
    return found


def counted(model: PreTrainedModel, windows: Tensor) -> Tensor | None:
    """Which tokens of the targets (batch, target) are text; None where all are, or the model has one stack."""
    if not model.config.is_encoder_decoder:
        return None
    found = _counted(model, halves(windows)[1])
    return None if bool(found.all()) else found


def _counted(model: PreTrainedModel, ids: Tensor) -> Tensor:
    padding = padding_of(model.config)
    return torch.ones_like(ids, dtype=torch.bool) if padding is None else ids != padding


def batches_of(model: PreTrainedModel, windows: Tensor, batch: int) -> list[dict[str, Tensor]]:
    """The arguments for all of windows (n, window), `batch` at a time, on the model's device.

    Pairs of other lengths than a window come one by one without their padding, so that no padding is calibrated on.
    """
    device = next(model.parameters()).device
    if not model.config.is_encoder_decoder or not _padded(model, windows):
        return [inputs_of(model, part.to(device)) for part in windows.split(batch)]
    found = []
    for row in windows.to(device).split(1):
        source, target = (half[_counted(model, half)][None] for half in halves(row))
        found.append({"input_ids": source, "decoder_input_ids": shifted(model, target)})
    return found


def _padded(model: PreTrainedModel, windows: Tensor) -> bool:
    return not bool(_counted(model, windows).all())
