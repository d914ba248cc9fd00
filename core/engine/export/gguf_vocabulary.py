"""A byte-level BPE tokenizer in GGUF: its tokens in the order of their ids, its merges, its special tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf

from core.base.errors import RetortError


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Any, folder: Path, kind: str, rows: int) -> None:
    """Adds the tokenizer.

    Args:
        tokenizer: a fast tokenizer, loaded from `folder`.
        kind: llama.cpp's name for the way it cuts text.
        rows: rows of the embedding; ids without a token are filled with unused ones.

    Raises:
        RetortError: a token's id lies beyond the embedding.
    """
    vocabulary = {i: token for token, i in tokenizer.get_vocab().items()}
    if max(vocabulary) >= rows:
        raise RetortError(
            f"The tokenizer knows {max(vocabulary) + 1} tokens, and the model has embeddings for {rows}.",
            "Export as a Hugging Face folder, or use the tokenizer the model was trained with.",
        )
    added = tokenizer.added_tokens_decoder
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list([vocabulary.get(i, f"[PAD{i}]") for i in range(rows)])
    writer.add_token_types([_type(i, vocabulary, added) for i in range(rows)])
    gguf.SpecialVocab(folder, load_merges=True, n_vocab=rows).add_to_gguf(writer, quiet=True)


def _type(index: int, vocabulary: dict[int, str], added: dict[int, Any]) -> gguf.TokenType:
    if index not in vocabulary:
        return gguf.TokenType.UNUSED
    if index not in added:
        return gguf.TokenType.NORMAL
    return gguf.TokenType.CONTROL if added[index].special else gguf.TokenType.USER_DEFINED
