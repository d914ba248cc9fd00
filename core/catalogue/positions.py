"""How many tokens a model can read at a time: its position table, less the rows it keeps for padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RESERVES: dict[str, int] = {
    "roberta": 1,
    "xlm-roberta": 1,
    "xlm-roberta-xl": 1,
    "camembert": 1,
    "roberta-prelayernorm": 1,
    "xmod": 1,
    "data2vec-text": 1,
    "longformer": 1,
    "mpnet": 1,
    "ibert": 1,
    "luke": 1,
    "markuplm": 0,
}
"""Families that count positions from one after the padding token's id on, and that id where the config is silent."""


def usable_positions(family: str, get: Callable[[str], Any]) -> int | None:
    """Tokens a model reads at most at a time; None where nothing limits them or the config does not say.

    Args:
        family: its `model_type`.
        get: a value of its config by name, None where there is none.
    """
    stated = next((n for n in map(get, ("max_position_embeddings", "n_positions")) if _whole(n) and n > 0), None)
    if stated is None or family not in RESERVES:
        return stated
    padding = get("pad_token_id")
    first = (padding if _whole(padding) and padding >= 0 else RESERVES[family]) + 1
    return stated - first if stated > first else None


def _whole(value: Any) -> bool:
    return type(value) is int and value <= 1 << 40
