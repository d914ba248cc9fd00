"""Do all tokens of a tokenizer have a row in the model's embeddings? From tokenizer.json and the headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.text import one_line
from core.base.untrusted_files import read_bounded

TOKENIZER_BYTES = 64_000_000
_CONFIG_BYTES = 24_000_000
EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tok_embeddings|token_embedding|embeddings|tokens_embed|shared)\.weight$"
)


def embedding_rows(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Rows of the word embeddings, from the shapes of all tensors by name; None where no tensor is known as those."""
    found = {shape[0] for name, shape in shapes.items() if len(shape) == 2 and EMBEDDING.search(name)}
    return found.pop() if len(found) == 1 else None


def first_beyond(folder: Path, rows: int) -> tuple[str, int] | None:
    """The token with the lowest id that is not below `rows`; None where all are, or no file tells."""
    tokens: dict[int, str] = {}
    for name, most, reader in (
        ("tokenizer.json", TOKENIZER_BYTES, _of_tokenizer),
        ("tokenizer_config.json", _CONFIG_BYTES, _of_settings),
    ):
        try:
            tokens |= reader(load(read_bounded(folder / name, most)), rows)
        except (OSError, ValueError, AttributeError, LookupError, TypeError):
            continue  # what cannot be read is said by whoever opens the tokenizer
    return (tokens[min(tokens)], min(tokens)) if tokens else None


def refuse_tokens_beyond(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses a tokenizer that gives ids the embeddings have no row for.

    Raises:
        RetortError: with the first such token and both sizes.
    """
    rows = embedding_rows(shapes)
    beyond = first_beyond(folder, rows) if rows is not None else None
    if rows is not None and beyond is not None:
        raise beyond_embeddings(beyond[0], beyond[1], rows)


def beyond_embeddings(token: str, number: int, rows: int) -> RetortError:
    """The refusal of a token whose id has no row."""
    return RetortError(
        f"The tokenizer gives the token '{one_line(token, 60)}' the number {number}, and the model has embeddings for "
        f"{rows} tokens (0 to {rows - 1}).",
        f"Use the tokenizer the model was trained with, or give it the missing rows where you trust them: "
        f"model.resize_token_embeddings({number + 1}).",
    )


def _of_tokenizer(found: Any, rows: int) -> dict[int, str]:
    vocabulary = found["model"]["vocab"]
    numbered = (
        enumerate(v[0] for v in vocabulary)
        if isinstance(vocabulary, list)
        else ((number, token) for token, number in vocabulary.items())
    )
    beyond = {number: str(token) for number, token in numbered if number >= rows}
    added = found.get("added_tokens") or []
    return beyond | {int(t["id"]): str(t["content"]) for t in added if int(t["id"]) >= rows}


def _of_settings(found: Any, rows: int) -> dict[int, str]:
    added = (found.get("added_tokens_decoder") or {}).items()
    return {int(number): str(token["content"]) for number, token in added if int(number) >= rows}
