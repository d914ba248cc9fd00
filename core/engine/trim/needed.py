"""Which tokens of a vocabulary have to stay, from how often each stands in a text.

Beside the tokens that are wanted, a tokenizer needs those that let it write any text, and those it passes through on
the way to a wanted one. With them a text of wanted tokens is cut exactly as before, and every other text can still be
written, in more tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

from core.base.errors import Impossible
from core.engine.trim import bpe, pieces

_KINDS: Mapping[str, Callable[[Mapping[str, Any], Set[str]], set[str]]] = {
    "BPE": bpe.needed,
    "WordPiece": pieces.of_wordpiece,
    "Unigram": pieces.of_unigram,
}


def needed_tokens(definition: Mapping[str, Any], wanted: Set[str]) -> set[str]:
    """The tokens of the model of a tokenizer.json that stay, `wanted` among them.

    Args:
        definition: the parsed tokenizer.json.
        wanted: tokens, as they stand there.

    Raises:
        Impossible: Retort does not know how this kind of tokenizer works.
    """
    model = definition["model"]
    kind = str(model.get("type"))
    if kind not in _KINDS:
        raise Impossible(
            f"The vocabulary of a '{kind}' tokenizer cannot be trimmed.",
            "Choose a model whose tokenizer.json is of the kind BPE, WordPiece or Unigram.",
        )
    return _KINDS[kind](model, wanted)
