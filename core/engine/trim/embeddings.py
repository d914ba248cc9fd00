"""A model with some of its tokens: rows of embeddings, output layer and its bias, and the numbers in its configs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from core.base.errors import Impossible
from core.engine.models.packed import packed_weights
from core.engine.prune.surgery import build

_LISTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "force_words_ids")


def with_tokens(model: PreTrainedModel, former: Sequence[int]) -> PreTrainedModel:
    """A new model of the same class that has the tokens with these former numbers, in this order; ties stay.

    Raises:
        Impossible: the weights are packed, or something else in the model has a row a token.
    """
    if packed_weights(model):
        raise Impossible(
            "The vocabulary of a quantised model cannot be trimmed: its weights are packed.",
            "Trim first and quantise the result.",
        )
    rows = torch.tensor(former)
    by_token = {id(p) for p in _by_token(model)}
    names = {n for n, p in model.named_parameters(remove_duplicate=False) if id(p) in by_token}
    state = {
        n: t.index_select(0, rows.to(t.device)) if n in names else t.clone() for n, t in model.state_dict().items()
    }
    number = {old: new for new, old in enumerate(former)}
    config = renumbered(model.config, number)
    config.vocab_size = config.get_text_config().vocab_size = len(former)
    try:
        new = build(model, config, state)
    except AssertionError as error:
        raise Impossible(
            f"A {type(model).__name__} has more parts with a row for each token than Retort knows.",
            "Leave the vocabulary of this model as it is.",
        ) from error
    if getattr(model, "generation_config", None) is not None:
        new.generation_config = renumbered(model.generation_config, number)
    return new


def _by_token(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The parameters with a row for each token: word embeddings, and the output layer with its bias."""
    head = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight, getattr(head, "weight", None), getattr(head, "bias", None)]
    return [p for p in found if isinstance(p, torch.nn.Parameter)]


def role_tokens(config: Any) -> set[int]:
    """The numbers of the tokens that a config gives a role, such as the one that ends a text."""
    values = [value for name, value in _stated(config).items() if name.endswith(("_token_id", "_token_ids"))]
    return {number for value in values for number in (value if isinstance(value, list) else [value]) if _is(number)}


def renumbered(config: Any, number: Mapping[int, int]) -> Any:
    """A copy of a config in which every token has its new number; in lists, those that are gone are left out.

    Args:
        config: of a model, or of its generation.
    """
    new = copy.deepcopy(config)
    parts = [new, new.get_text_config()] if hasattr(new, "get_text_config") else [new]
    for part in {id(p): p for p in parts}.values():
        for name, value in _stated(part).items():
            if name.endswith(("_token_id", "_token_ids")) or name in _LISTS:
                setattr(part, name, _moved(value, number))
    return new


def _moved(value: Any, number: Mapping[int, int]) -> Any:
    if isinstance(value, list):
        return [_moved(v, number) for v in value if not _is(v) or v in number]
    return number.get(value, value) if _is(value) else value


def _stated(config: Any) -> dict[str, Any]:
    return {n: v for n, v in vars(config).items() if not n.startswith("_")}


def _is(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
