"""Whether Retort can open a model at all, from its small files and headers: asked by the doctor and before every load.

What only a load can tell, the load refuses. No weights are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.catalogue.kinds import kind_of, refuse_unserved
from core.catalogue.mask_token import refuse_without_mask
from core.catalogue.token_ids import refuse_tokens_beyond


def refuse_unfit(folder: Path, config: dict[str, Any], tensors: Mapping[str, Any]) -> None:
    """Goes through what can be told without loading.

    Args:
        config: the folder's parsed config.json.
        tensors: `TensorFacts` of its weights, by name.

    Raises:
        RetortError: a class Retort does not serve, a head that would be lost, tokens without an embedding, or no token
            to hide words behind where the model guesses hidden words.
    """
    refuse_unserved(config, tensors)
    if kind_of(config, tensors) == "masked":
        refuse_without_mask(folder)
    refuse_tokens_beyond(folder, {name: facts.shape for name, facts in tensors.items()})


def obstacle(folder: Path, config: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[str, str]:
    """The cause and the remedy that `refuse_unfit` would state; two empty texts where it states none."""
    try:
        refuse_unfit(folder, config, tensors)
    except RetortError as error:
        return error.cause, error.remedy
    return "", ""
