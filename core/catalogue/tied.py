"""Is the output head the word embeddings? From the config and the stored tensors together.

Where the config says so and a head is stored all the same, transformers keeps it apart if it differs. So does this: the
two tensors' bytes are compared, of large ones a part (training a head changes all of its rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.catalogue.parts import TIED_COPY
from core.catalogue.safetensors_header import TensorFacts
from core.catalogue.token_ids import EMBEDDING

_WHOLE_BYTES = 32_000_000
_PIECE_BYTES = 256_000
_PIECES = 64


def is_tied(config: dict[str, Any], task: str, tensors: Mapping[str, TensorFacts]) -> bool:
    """Args: the parsed config, what the model does, and its tensors by name (with the files they lie in)."""
    if task not in ("causal", "masked", "seq2seq"):
        return False
    heads = [facts for name, facts in tensors.items() if TIED_COPY.match(name) and name.endswith("weight")]
    if not heads:  # without a stored head transformers ties it
        return True
    inner = config.get("text_config")
    said = config.get("tie_word_embeddings", inner.get("tie_word_embeddings") if isinstance(inner, dict) else None)
    if said is not True:
        return False
    words = [facts for name, facts in tensors.items() if EMBEDDING.search(name) and len(facts.shape) == 2]
    return not words or any(_same(head, word) for head in heads for word in words)


def _same(one: TensorFacts, other: TensorFacts) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if one.file is None or other.file is None:
        return True
    size = one.bytes
    step = size if size <= _WHOLE_BYTES else max(_PIECE_BYTES, size // _PIECES)
    length = _PIECE_BYTES if step < size else size
    places = ((at, min(length, size - at)) for at in range(0, size, step))
    return all(_read(one.file, one.begin + at, n) == _read(other.file, other.begin + at, n) for at, n in places)


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
