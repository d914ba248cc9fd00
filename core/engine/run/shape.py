"""The sizes of a candidate, for its facts."""

from __future__ import annotations

from transformers import PreTrainedModel

_SHAPE = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "experts": "num_local_experts",
    "vocabulary": "vocab_size",
}


def shape_of(model: PreTrainedModel) -> dict[str, int]:
    """The sizes of a model, as far as its config names them."""
    config = model.config.get_text_config()
    found = {name: getattr(config, key, None) for name, key in _SHAPE.items()}
    return {name: value for name, value in found.items() if isinstance(value, int)}
