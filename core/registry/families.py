"""The families of models Retort knows, one line each: what a config.json of that `model_type` stands for.

A family that is not here still works where nothing has to be known about it: weight pruning finds the matrices by
themselves. A new architecture is one file in `core/engine/models/architectures/` and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from core.registry.family import CALIBRATION, ONNX, PARTS, Config, Family, Stays

_WIDTH = ("neurons", "heads", "kv_groups", "hidden")
_HEADED = ("heads", "kv_groups", "hidden")
_NAMES = {"neurons": "MLP neurons", "kv_groups": "key-value groups", "hidden": "hidden channels"}
_SLOPES = "the positions (ALiBi) follow from the number of heads, so removing one would change all others"
_EXPERT_NEURONS = Stays(("neurons",), "they lie inside its experts")


def _decoder(name: str, adapted: bool = True, gguf: str = "", **more: Any) -> Family:
    """A family built like Llama."""
    return Family(name, "causal", adapted=adapted, gguf=gguf, **more)


def _experts(name: str, *stays: Stays, **more: Any) -> Family:
    """A family built like Mixtral."""
    return Family(name, "causal", adapted=True, stays=(_EXPERT_NEURONS, *stays), **more)


def _encoder(name: str, **more: Any) -> Family:
    """A family built like BERT."""
    usual: dict[str, Any] = {"gated": False, "learned_positions": True, "square": True}
    return Family(name, "encoder", adapted=True, **{**usual, **more})


def _pair(name: str, *stays: Stays, **more: Any) -> Family:
    """A family with an encoder and a decoder."""
    return Family(name, "pair", adapted=True, counted=False, stays=stays, **more)


def _unlike_stacks(config: Config) -> bool:
    return config.get("encoder_ffn_dim") != config.get("decoder_ffn_dim")


def _crossing(config: Config) -> bool:
    return bool(config.get("add_cross_attention"))


def _projected(name: str) -> Stays:
    """Embeddings of another width than the layers."""

    def other(config: Config) -> bool:
        return config.get(name) not in (None, config.get("hidden_size"))

    return Stays(PARTS, "its embeddings have another width than its layers", when=other)


_CROSS = Stays(PARTS, "it attends to a second model", when=_crossing)


def _alibi(config: Config) -> bool:
    return bool(config.get("alibi"))


def _grouped_routing(config: Config) -> bool:
    groups = config.get("n_group", 8 if config.get("model_type") == "deepseek_v3" else 1)
    return isinstance(groups, int) and groups > 1


FAMILIES: dict[str, Family] = {
    family.id: family
    for family in (
        _decoder("llama", gguf="llama"),
        _decoder("mistral", gguf="llama"),
        _decoder("qwen2", gguf="qwen2"),
        _decoder("qwen3", gguf="qwen3"),
        _decoder("smollm3"),
        _decoder("gemma"),
        _decoder("gemma2"),
        _decoder("gemma3", adapted=False, counted=False),  # its config may lie beside that of a vision model
        _decoder("gemma3_text"),
        _decoder("phi3"),
        _decoder("olmo2"),
        _decoder("granite"),
        _decoder("cohere"),
        _decoder("cohere2"),
        _decoder("stablelm", square=True),
        _experts("mixtral"),
        _experts("qwen2_moe"),
        _experts("qwen3_moe"),
        _experts("gpt_oss"),
        *(
            _experts(
                name,
                Stays(("heads", "kv_groups"), "all heads share one compressed key and value"),
                Stays(("experts",), "it chooses experts in groups of equal size", when=_grouped_routing),
                counted=False,
            )
            for name in ("deepseek_v2", "deepseek_v3")
        ),
        _decoder(
            "lfm2",
            counted=False,
            stays=(
                Stays(("heads", "kv_groups"), "only some of its layers have heads"),
                Stays(("hidden",), "its convolutions work on as many channels of their own"),
            ),
        ),
        *(
            Family(
                name,
                "causal",
                adapted=True,
                counted=False,
                stays=(
                    Stays(_WIDTH, "its layers have neither heads nor neurons of a width that the config names"),
                    Stays((ONNX,), "its state goes from token to token, which no graph for any length can say"),
                ),
            )
            for name in ("mamba", "mamba2")
        ),
        *(
            _pair(name, Stays(_HEADED, "all layers of a stack share one table of positions for each head"))
            for name in ("t5", "mt5")
        ),
        _pair(
            "bart",
            Stays(_HEADED, "its decoder's two kinds of attention would have to lose the same ones"),
            Stays(PARTS, "the layers of its encoder and decoder are not equally wide", when=_unlike_stacks),
            gated=False,
            learned_positions=True,
        ),
        Family("phi", "causal", adapted=True, gated=False),
        Family("gptj", "causal", adapted=True, gated=False, square=True),
        Family("gpt_neox", "causal", adapted=True, gated=False, square=True),
        Family(
            "gpt2",
            "causal",
            adapted=True,
            gated=False,
            learned_positions=True,
            square=True,
            gguf="gpt2",
            stays=(
                _CROSS,
                Stays(
                    PARTS,
                    "its attention depends on the number of each layer, so the layers cannot be re-numbered",
                    when=lambda config: bool(config.get("scale_attn_by_inverse_layer_idx")),
                ),
            ),
        ),
        Family(
            "opt",
            "causal",
            adapted=True,
            gated=False,
            learned_positions=True,
            square=True,
            stays=(_projected("word_embed_proj_dim"),),
        ),
        Family(
            "falcon",
            "causal",
            adapted=True,
            gated=False,
            square=True,
            counted=False,
            stays=(
                Stays(("heads", "kv_groups", "hidden"), _SLOPES, when=_alibi),
                Stays((ONNX,), "ONNX Runtime has no operation for its positions (ALiBi)", when=_alibi),
            ),
        ),
        *(
            Family(
                name,
                "causal",
                adapted=True,
                gated=False,
                stays=(
                    Stays(("neurons",), "transformers makes them four times the hidden size"),
                    Stays(("heads", "kv_groups", "hidden"), _SLOPES),
                ),
            )
            for name in ("bloom", "mpt")
        ),
        _encoder("bert", stays=(_CROSS,)),
        _encoder("roberta", stays=(_CROSS,)),
        _encoder("distilbert"),
        _encoder("xlm-roberta", stays=(_CROSS,)),
        _encoder("camembert", stays=(_CROSS,)),
        _encoder("electra", counted=False),  # its words may be narrower than its hidden states
        _encoder(
            "mpnet",
            stays=(
                Stays(("heads", "kv_groups", "hidden"), "all its layers share one table of positions for each head"),
            ),
        ),
        _encoder("albert", counted=False, stays=(Stays(("layers",), "all its layers are one, used again and again"),)),
        _encoder("modernbert", gated=True, learned_positions=False, pinned=(0,)),
        _encoder(
            "deberta-v2",
            learned_positions=False,
            stays=(
                _projected("embedding_size"),
                Stays(
                    (CALIBRATION,),
                    "it computes something between its layers (a convolution), so they cannot be watched one by one",
                    when=lambda config: bool(config.get("conv_kernel_size")),
                ),
            ),
        ),
    )
}


def reads(model_type: str) -> Literal["causal", "encoder", "pair"] | None:
    """How models of this `model_type` read; None where it is not known."""
    return FAMILIES[model_type].reads if model_type in FAMILIES else None


def is_adapted(model_type: str) -> bool:
    """Whether parts of such models can be taken out."""
    return model_type in FAMILIES and FAMILIES[model_type].adapted


def is_square(model_type: str) -> bool:
    """Whether the hidden size of such models is always heads times head size."""
    return model_type in FAMILIES and FAMILIES[model_type].square


def staying(model_type: str, config: Config) -> dict[str, str]:
    """The parts of a model that cannot be taken out, each with the reason, as a clause that goes on after 'because'."""
    family = FAMILIES.get(model_type)
    known = [s for s in family.stays if s.when is None or s.when(config)] if family else []
    return {part: s.why for s in reversed(known) for part in s.parts}


def cannot(part: str, why: str) -> str:
    """The sentence on a part that stays."""
    return f"This model's {_NAMES.get(part, part)} cannot be removed: {why}."


def either(parts: list[str]) -> str:
    """'a, b or c'."""
    *most, last = parts
    return f"{', '.join(most)} or {last}" if most else last


def width_parts(square: bool, stays: Mapping[str, str], method_ranks_hidden: bool = True) -> list[str]:
    """The parts that a width method can take out of a model; heads of a square one go with its channels."""
    alone = ["neurons", "hidden"] if square else list(_WIDTH)
    return [p for p in alone if p not in stays and (p != "hidden" or method_ranks_hidden)]


def pinned(model_type: str, encoder_layers: int = 0) -> tuple[int, ...]:
    """Layers of such models that have to stay; of an encoder-decoder's layers the first of each stack.

    Args:
        encoder_layers: how many of the layers are the encoder's.
    """
    family = FAMILIES.get(model_type)
    if family is not None and family.reads == "pair":
        return (0, encoder_layers)
    return family.pinned if family else ()
