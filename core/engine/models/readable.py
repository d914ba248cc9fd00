"""Does a model read text at all? Two tokens, before any long work: some configs load and then cannot be run."""

from __future__ import annotations

import logging
from typing import Any

import torch
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.models.context import padding_of
from core.engine.models.source_target import inputs_of
from core.engine.models.tokenizer import first_sentence

logger = logging.getLogger("retort")
_TOKENS = 2


@torch.inference_mode()
def refuse_unreadable(model: PreTrainedModel) -> None:
    """Runs the model once on two tokens.

    Raises:
        RetortError: it fails, with what transformers said.
    """
    config: Any = model.config.get_text_config()
    token = (int(padding_of(config) or 0) + 1) % max(1, int(getattr(config, "vocab_size", 1)))
    ids = torch.full((1, _TOKENS), token, dtype=torch.int64, device=model.device)
    try:
        model(**{"attention_mask": torch.ones_like(ids), **inputs_of(model, ids)})
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError) as error:
        if "memory" in str(error).lower():
            raise
        logger.info("the model cannot be run", exc_info=error)
        raise RetortError(
            f"The model was loaded, but it cannot read text: {first_sentence(error)}",
            "Check the sizes in its config.json, and that this version of transformers runs it.",
        ) from error
