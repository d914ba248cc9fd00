"""Families of which only whole layers can be taken out: their other sizes follow from each other.

BLOOM and MPT make their MLP four times the hidden size and their positions from the number of heads; the layers of
Mamba are one mixer each.
"""

from __future__ import annotations

from core.engine.models.architectures.base import Family


def _layers(name: str, model_types: tuple[str, ...], blocks: str, key: str) -> Family:
    return Family(
        name=name,
        model_types=model_types,
        blocks=blocks,
        keys={"layers": key},
        inside=None,
        outside={},
        block_norms=(),
        neuron_site=None,
        head_site=None,
    )


FAMILIES = (
    _layers("BLOOM", ("bloom",), "h", "n_layer"),
    _layers("MPT", ("mpt",), "blocks", "n_layers"),
    _layers("Mamba", ("mamba", "mamba2"), "layers", "num_hidden_layers"),
)
