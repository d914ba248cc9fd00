"""Giving an encoder an output layer for its classes, so that it can be fine-tuned and taught."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from core.base.errors import RetortError
from core.engine.models.load import Loaded


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


def head_parameters(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """What a classifier adds to the model below it: its output layers, and the pooling layer that only they read."""
    inside = f"{model.base_model_prefix}."
    return {n: p for n, p in model.named_parameters() if not n.startswith(inside) or "pool" in n}


def untrained_head(loaded: Loaded) -> dict[str, Tensor]:
    """The weights of a classifier's head as they are now, for `unchanged`; empty for other models."""
    if loaded.task != "classification":
        return {}
    return {n: p.detach().clone() for n, p in head_parameters(loaded.model).items()}


def unchanged(loaded: Loaded, before: Mapping[str, Tensor]) -> bool:
    """True where training left every weight of the head as it was."""
    now = dict(loaded.model.named_parameters())
    return bool(before) and all(torch.equal(now[n].detach().to(p.dtype), p) for n, p in before.items())
