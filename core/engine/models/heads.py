"""Classification heads: giving one to a model that has none, and reading the classes of one that has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from core.engine.models.load import Loaded
from core.errors import RetortError


def class_names(model: PreTrainedModel) -> list[str]:
    """The model's classes in the order of its outputs."""
    names = {int(i): str(name) for i, name in (model.config.id2label or {}).items()}
    return [names[i] for i in range(len(names))]


def add_classifier(loaded: Loaded, names: Sequence[str], seed: int = 0) -> Loaded:
    """The model in `loaded.folder` with a new, random head for the classes `names` in place of its own.

    Raises:
        RetortError: the architecture has no classification variant.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                loaded.folder, num_labels=len(names), id2label=dict(enumerate(names)),
                label2id={name: i for i, name in enumerate(names)}, dtype=loaded.dtype, use_safetensors=True,
                trust_remote_code=False, local_files_only=True, attn_implementation="sdpa",
            )  # fmt: skip
        except ValueError as error:
            raise RetortError(
                f"{type(loaded.model).__name__} has no variant for classification.", "Choose an encoder such as BERT."
            ) from error
    if model.config.pad_token_id is None and loaded.tokenizer.pad_token_id is not None:
        model.config.pad_token_id = loaded.tokenizer.pad_token_id
    model.eval()
    return replace(loaded, model=model, task="classification")
