"""Giving an encoder an output layer for its classes, so that it can be fine-tuned and taught."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from core.engine.models.load import Loaded
from core.errors import RetortError


def with_classes(loaded: Loaded, names: Sequence[str], seed: int = 0) -> Loaded:
    """A copy of the model with a new, untrained classification head over `names`; the rest keeps its weights.

    Raises:
        RetortError: transformers has no classifier of this kind of model.
    """
    config = copy.deepcopy(loaded.model.config)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in config.id2label.items()}
    if config.pad_token_id is None:
        # A decoder's classifier looks at the last token that is not padding, and must know which is.
        config.pad_token_id = loaded.tokenizer.pad_token_id
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model: Any = AutoModelForSequenceClassification.from_config(config, dtype=loaded.dtype)
    except ValueError as error:
        raise RetortError(
            f"transformers has no classifier for '{config.model_type}' models.", "Choose another kind of model."
        ) from error
    found = model.base_model.load_state_dict(loaded.model.base_model.state_dict(), strict=False)
    # Some classifiers have a pooling layer that the model they are made from may lack.
    assert not [name for name in found.missing_keys if "pool" not in name], found
    return replace(loaded, model=model.to(loaded.model.device).eval(), task="classification")
