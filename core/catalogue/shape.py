"""The sizes a config.json states, under the different names model families give them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.base.text import one_line
from core.catalogue.kinds import kind_of
from core.catalogue.positions import usable_positions
from core.registry.families import FAMILIES, pinned, reads, staying

_MOST = 1 << 40
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
_STACKS = ("num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")
_MOST_LAYERS = 10_000
"""What no model comes near. A config that states more states nothing that can be used."""


class Shape(BaseModel):
    """Sizes of a transformer; None where the config does not say (or the family is unknown)."""

    model_config = ConfigDict(frozen=True)
    family: str
    known: bool
    task: str
    """causal, masked, seq2seq, classification or encoder; 'unknown' for what Retort does not serve."""
    layers: int | None
    """Of an encoder-decoder those of both, the encoder's first."""
    encoder_layers: int = 0
    """How many of the layers are the encoder's, of an encoder-decoder."""
    hidden: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    intermediate: int | None
    experts: int | None
    active_experts: int | None
    vocab: int | None
    context: int | None
    """Tokens read at most at a time."""
    windows: tuple[int | None, ...] = ()
    """For each layer of a causal model that caches keys and values, the sliding window they are cut to; None: no
    window."""
    stays: dict[str, str] = {}
    """Parts that cannot be taken out, and what else is not possible, each with the reason
    (`core.registry.families.staying`)."""
    pinned: tuple[int, ...] = ()
    """Layers that have to stay."""


def absurd_layers(config: dict[str, Any]) -> bool:
    """True where a config states more layers than any model has: transformers would build them one by one."""
    text = config.get("text_config")
    stated = [part.get(name) for part in (config, text) if isinstance(part, dict) for name in (*_LAYERS, *_STACKS)]
    return any(isinstance(number, int | float) and number > _MOST_LAYERS for number in stated)


def read_shape(config: dict[str, Any]) -> Shape:
    """Sizes from a parsed config.json; never raises for unknown families."""
    text = config.get("text_config")
    inner: dict[str, Any] = {**config, **text} if isinstance(text, dict) else config
    family = one_line(str(inner.get("model_type") or "unknown"), 80)
    known = family in FAMILIES
    hidden = _number(inner, "hidden_size", "n_embd", "dim", "d_model")
    encoder = _number(inner, "num_layers", "encoder_layers", most=_MOST_LAYERS) if reads(family) == "pair" else None
    heads = _number(inner, "num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
    layers = _number(inner, *_LAYERS, most=_MOST_LAYERS)
    if encoder is not None:
        layers = encoder + (_number(inner, "num_decoder_layers", "decoder_layers", most=_MOST_LAYERS) or encoder)
    intermediate = _number(
        inner, "intermediate_size", "n_inner", "ffn_dim", "hidden_dim", "ffn_hidden_size", "d_ff", "encoder_ffn_dim"
    )
    if intermediate is None and hidden and family in ("gpt2", "gptj", "bloom", "mpt", "falcon"):
        intermediate = 4 * hidden
    return Shape(
        family=family,
        known=known,
        task=kind_of(config),
        layers=layers,
        encoder_layers=encoder or 0,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(inner) or (heads if known else None),
        head_dim=_number(inner, "head_dim", "d_kv") or (hidden // heads if known and hidden and heads else None),
        intermediate=intermediate,
        experts=_number(inner, "num_local_experts", "num_experts", "n_routed_experts"),
        active_experts=_number(inner, "num_experts_per_tok"),
        vocab=_number(inner, "vocab_size"),
        context=usable_positions(family, inner.get),
        windows=_windows(inner, family, layers or 0),
        stays=staying(family, inner),
        pinned=pinned(family, encoder or 0),
    )


def _number(config: dict[str, Any], *names: str, most: int = _MOST) -> int | None:
    for name in names:
        value = config.get(name)
        if type(value) is int and 0 < value <= most:
            return value
    return None


def _kv_heads(config: dict[str, Any]) -> int | None:
    if config.get("multi_query") and not config.get("new_decoder_architecture"):  # Falcon 7B
        return 1
    return _number(config, "num_key_value_heads", "num_kv_heads")


def _windows(config: dict[str, Any], family: str, layers: int) -> tuple[int | None, ...]:
    if reads(family) != "causal":
        return ()
    types = config.get("layer_types")
    if isinstance(types, list) and "conv" in types:  # LFM2
        return tuple(None for kind in types if kind != "conv")
    window = _number(config, "sliding_window")
    if window is None or config.get("use_sliding_window") is False:
        return (None,) * layers
    if isinstance(types, list) and len(types) == layers:
        return tuple(window if kind == "sliding_attention" else None for kind in types)
    usual = {"gemma2": 2, "gemma3_text": 6}.get(family)
    period = _number(config, "sliding_window_pattern", "_sliding_window_pattern") or usual
    if period:  # Gemma: every `period`-th layer sees everything
        return tuple(None if (i + 1) % period == 0 else window for i in range(layers))
    return (window,) * layers
