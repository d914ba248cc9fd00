"""How many texts are longer than what is read of them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def cut_texts(tokenizer: Any, texts: Sequence[str], limit: int, pairs: Sequence[str] | None = None) -> int:
    """How many of the texts have more tokens than `limit`."""
    long = [i for i, text in enumerate(texts) if len(text) + (len(pairs[i]) if pairs else 0) >= limit]
    if not long:
        return 0
    seconds = None if pairs is None else [pairs[i] for i in long]
    rows = tokenizer([texts[i] for i in long], seconds, verbose=False)["input_ids"]
    return sum(len(row) > limit for row in rows)
