"""Generation settings of Retort's own, for checks, measurements and training data.

A model's `generation_config` is for whoever uses it: it may ask for beams, stop strings, an assistant or another kind
of cache, and what `generate` returns then is no plain greedy text. transformers fills what a call leaves open from the
model's own settings, so these are put aside while the call lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig


@contextmanager
def plain_generation(model: Any) -> Iterator[None]:
    """While it lasts, `model.generate` goes by its arguments and the model's end-of-text tokens, and nothing else."""
    given = model.generation_config
    ends = end_tokens(model)
    model.generation_config = GenerationConfig(eos_token_id=ends or None, pad_token_id=padding_token(model))
    try:
        yield
    finally:
        model.generation_config = given


def end_tokens(model: Any) -> list[int]:
    """The ids that end a text by the model's generation settings; empty where it has none."""
    found = getattr(model.generation_config, "eos_token_id", None)
    listed = found if isinstance(found, list | tuple) else [found]
    return [token for token in listed if isinstance(token, int) and not isinstance(token, bool) and token >= 0]


def padding_token(model: Any) -> int:
    """An id to fill finished rows with: the first that ends a text."""
    return (end_tokens(model) or [0])[0]
