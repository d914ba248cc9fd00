"""What a model takes by its config, and where its files hold something else: no weights are read.

transformers builds what config.json states and fills what the files lack with random numbers: a few kilobytes of
weights beside a config of gigabytes take gigabytes. Counts here are lower bounds (no biases, no norms), so that they
stay below what a complete model holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.catalogue.parts import layer_of
from core.catalogue.safetensors_header import TensorFacts
from core.catalogue.shape import Shape
from core.registry.families import FAMILIES
from core.registry.formatting import show_count

_COUNTED = frozenset(family.id for family in FAMILIES.values() if family.counted)
"""Whose sizes are compared."""
_WORDS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$")
WHOLE = "Its figures would mean nothing: use a complete copy of the model, with the config it was saved with."
"""What to do where files and config disagree."""
_SLACK = 1.02  # of the parameters: what a sum may be off before it is called another


def stated_parameters(config: Mapping[str, Any], shape: Shape) -> int:
    """Parameters the config makes at least; 0 where the family, or a size it needs, is not known."""
    if shape.family not in _COUNTED or None in (shape.vocab, shape.hidden, shape.layers, shape.heads, shape.head_dim):
        return 0
    hidden, heads, head = shape.hidden or 0, shape.heads or 0, shape.head_dim or 0
    narrow = _positive(config, "word_embed_proj_dim") or hidden  # OPT
    words = (shape.vocab or 0) * narrow
    if shape.task in ("causal", "masked") and config.get("tie_word_embeddings") is False:
        words *= 2
    positions = (shape.context or 0) * hidden if FAMILIES[shape.family].learned_positions else 0
    attention = 2 * hidden * head * (heads + (shape.kv_heads or heads))
    return words + positions + sum(attention + _mlp(config, shape, i) for i in range(shape.layers or 0))


def _mlp(config: Mapping[str, Any], shape: Shape, layer: int) -> int:
    hidden, inner = shape.hidden or 0, shape.intermediate or 0
    if not FAMILIES[shape.family].gated:
        return 2 * hidden * inner
    dense = config.get("mlp_only_layers")
    step = _positive(config, "decoder_sparse_step") or 1
    sparse = bool(shape.experts) and (layer + 1) % step == 0 and not (isinstance(dense, list) and layer in dense)
    if not sparse:
        return 3 * hidden * inner
    each = _positive(config, "moe_intermediate_size") or inner
    shared = _positive(config, "shared_expert_intermediate_size") or 0
    return 3 * hidden * ((shape.experts or 0) * each + shared)


def disagreement(shape: Shape, tensors: Mapping[str, TensorFacts], stated: int, parameters: int) -> str:
    """A sentence where the files hold less than config.json states, or another size; '' where they agree.

    Args:
        stated: `stated_parameters`.
        parameters: those that the files hold.
    """
    if shape.family not in _COUNTED:
        return ""
    indices = {index for index, _ in map(layer_of, tensors)}
    lacking = [i for i in range(shape.layers or 0) if i not in indices]
    if lacking:
        held = (shape.layers or 0) - len(lacking)
        return f"config.json states {shape.layers:,} layers, and the files hold {held:,} of them."
    found = next((facts.shape for name, facts in tensors.items() if _WORDS.search(name)), None)
    if found and shape.vocab and found[0] != shape.vocab:
        return f"config.json states a vocabulary of {shape.vocab:,}, and the embeddings in the files have {found[0]:,}."
    if stated > parameters * _SLACK:
        return (
            f"by config.json the model has at least {show_count(stated)} parameters, and the files hold "
            f"{show_count(parameters)}."
        )
    return ""


def _positive(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if type(value) is int and value > 0 else None
