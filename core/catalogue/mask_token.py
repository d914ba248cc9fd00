"""Whether a tokenizer has a token that stands for a hidden word, told from its files without opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.untrusted_files import read_bounded
from core.catalogue.token_ids import TOKENIZER_BYTES

_USUAL = ("[MASK]", "<mask>")
"""What the classes of transformers fall back to where no file names the token."""


def lacks_mask_token(folder: Path) -> bool:
    """True where the files name no mask token and the vocabulary holds none of the usual ones.

    False as well where there is no tokenizer.json to tell by.
    """
    if any(_object(folder / name).get("mask_token") for name in ("tokenizer_config.json", "special_tokens_map.json")):
        return False
    tokenizer = _object(folder / "tokenizer.json")
    try:
        words = tokenizer["model"]["vocab"]
        known = {pair[0] for pair in words} if isinstance(words, list) else set(words)
        known |= {token["content"] for token in tokenizer.get("added_tokens") or ()}
    except (LookupError, TypeError, AttributeError):
        return False  # what cannot be read is said by whoever opens the tokenizer
    return not known & set(_USUAL)


def refuse_without_mask(folder: Path) -> None:
    """Raises RetortError for a model that fills in masked tokens where its tokenizer has no such token."""
    if lacks_mask_token(folder):
        raise RetortError(
            "This model fills in masked tokens, and its tokenizer has no mask token, so nothing of it can be measured.",
            "Use the tokenizer the model was trained with: its tokenizer_config.json names a 'mask_token'.",
        )


def _object(path: Path) -> dict[str, Any]:
    try:
        found = load(read_bounded(path, TOKENIZER_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
