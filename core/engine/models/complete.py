"""After a load: is what transformers built all of what the folder holds, and nothing more?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.catalogue.parts import is_buffer
from core.catalogue.token_ids import beyond_embeddings
from core.engine.models.older_readers import head_is_tied

_BUFFERS = re.compile(
    r"(position_ids|inv_freq|masked_bias|causal_mask|num_batches_tracked|attn\.bias|attention\.bias)$"
)
"""Tables older versions stored beside the weights; they follow from the config."""
_BESIDE = re.compile(r"(^|\.)(pooler|seq_relationship|mtp|nextn|eh_proj|enorm|hnorm|shared_head)\b")
"""Heads of pre-training, or for drafting, that the class a config names never has: they may stay behind."""
_SHOWN = 3


def refuse_missing(missing: Iterable[str]) -> None:
    """transformers fills in what a file lacks with random numbers.

    Raises:
        RetortError: something was missing.
    """
    lost = sorted(missing)
    if lost:
        raise RetortError(
            f"The model's files lack {len(lost)} of its tensors, such as '{lost[0]}'.",
            "Its figures would mean nothing: use a complete copy of the model.",
        )


def left_out(unexpected: Iterable[str], tensors: Mapping[str, Any], model: PreTrainedModel) -> list[str]:
    """A sentence on tensors of the files that the model has no place for, where it is known to do without them.

    Args:
        unexpected: those transformers reported.
        tensors: all of the folder's, by name; some that a class ignores are not reported.

    Raises:
        RetortError: tensors that would be lost without anybody knowing why.
    """
    quiet = _ignored(tensors, model)
    gone = sorted({n for n in (*unexpected, *quiet) if not _BUFFERS.search(n) and not is_buffer(n)})
    strange = [n for n in gone if n not in quiet and not _BESIDE.search(n)]
    if strange:
        raise RetortError(
            f"The model's files hold {len(strange)} tensors that a {type(model).__name__} has no place for, such as "
            f"'{strange[0]}', so they would be lost.",
            "Write the class the model was saved with into 'architectures' in config.json, or save the model again "
            "without them.",
        )
    if not gone:
        return []
    more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
    return [
        f"The model's files hold tensors that a {type(model).__name__} does not use, and they are left out of what is "
        f"saved: {', '.join(gone[:_SHOWN])}{more}."
    ]


def _ignored(tensors: Iterable[str], model: PreTrainedModel) -> set[str]:
    """Stored tensors that the model's class itself says it ignores."""
    patterns = [re.compile(pattern) for pattern in getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()]
    own, prefix = set(model.state_dict()), f"{model.base_model_prefix}."
    other = (n for n in tensors if not {n, n.removeprefix(prefix), prefix + n} & own)
    return {n for n in other if any(pattern.search(n) for pattern in patterns)}


def settle_ties(model: PreTrainedModel) -> list[str]:
    """Makes the config say what the weights are, tied or not; a sentence where it said otherwise.

    transformers 5 goes by the file, and keeps a head of its own that differs from the embeddings. Every other reader
    goes by the config, and would lose that head.
    """
    head = model.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        return []
    tied, said = head_is_tied(model), bool(model.config.get_text_config().tie_word_embeddings)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = tied
    if tied == said or model.config.is_encoder_decoder:  # T5's config says 'tied' in memory, whatever its file says
        return []
    if tied:
        return ["The config says that the output head is stored apart, and it is the word embeddings: kept as one."]
    return [
        "The config says that the output head is the word embeddings, and the file holds another one: the file's head "
        "is used, and what is saved says so."
    ]


def refuse_ids_beyond(tokenizer: Any, model: PreTrainedModel) -> None:
    """Refuses a tokenizer that gives ids the embeddings have no row for.

    Raises:
        RetortError: with the first such token and both sizes.
    """
    embeddings = model.get_input_embeddings()
    rows = getattr(embeddings, "num_embeddings", None)
    if not isinstance(rows, int):
        return
    beyond = [(number, token) for token, number in tokenizer.get_vocab().items() if number >= rows]
    if beyond:
        number, token = min(beyond)
        raise beyond_embeddings(token, number, rows)
