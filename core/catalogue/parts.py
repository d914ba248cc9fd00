"""Which part of a model a tensor belongs to, told from its name: enough for a count, not for surgery."""

from __future__ import annotations

import re
from typing import Literal

Part = Literal["embeddings", "attention", "mlp", "experts", "norms", "head", "other"]
PARTS: tuple[Part, ...] = ("embeddings", "attention", "mlp", "experts", "norms", "head", "other")

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.([0-9]{1,6})\.(.+)")
_DECODER = re.compile(r"^(?:model\.)?decoder\.")
_HEAD = re.compile(r"^(?:\w+\.)?(lm_head|embed_out|cls|classifier|score|qa_outputs|vocab_\w+|pre_classifier)\b")
_NORM = re.compile(r"norm|(^|\.)ln_|LayerNorm", re.IGNORECASE)
_EXPERTS = re.compile(r"experts?\b|block_sparse_moe|shared_expert|(^|\.)mlp\.gate\.|router")
_ATTENTION = re.compile(r"attn|attention|Attention")
_MLP = re.compile(r"DenseReluDense|mlp|ffn|fc1|fc2|intermediate|output\.dense|feed_forward")
_EMBEDDING = re.compile(r"embed|(^|\.)shared\.|(^|\.)wte|(^|\.)wpe|project_in|project_out")
_BUFFER = re.compile(r"(position_ids|inv_freq|final_logits_bias|masked_bias|(^|\.)attn\.bias|(^|\.)attention\.bias)$")
TIED_COPY = re.compile(
    r"^(lm_head\.weight|embed_out\.weight|vocab_projector\.weight|(cls\.predictions|lm_head)\.decoder\.(weight|bias))$"
)
"""Head tensors that are the word embeddings (or another head bias) once more, where the model ties them."""


def layer_of(name: str, encoder_layers: int = 0) -> tuple[int | None, str]:
    """The layer a tensor sits in (None outside the layers) and its name inside it.

    Args:
        encoder_layers: of a model with an encoder and a decoder, whose layers are counted on from the encoder's.
    """
    found = _LAYER.search(name)
    before = encoder_layers if _DECODER.match(name) else 0
    return (int(found[1]) + before, found[2]) if found else (None, name)


def part_of(name: str) -> Part:
    """The part a parameter counts to. Norms count as norms wherever they sit, except inside the head."""
    layer, local = layer_of(name)
    if layer is None:
        if _HEAD.match(name):
            return "head"
        if _NORM.search(local):
            return "norms"
        return "embeddings" if _EMBEDDING.search(local) else "other"
    if _NORM.search(local):
        return "norms"
    if _EXPERTS.search(local):
        return "experts"
    if _ATTENTION.search(local):
        return "attention"
    return "mlp" if _MLP.search(local) else "other"


def is_buffer(name: str) -> bool:
    """True for stored masks and tables that are not parameters."""
    return bool(_BUFFER.search(name))
