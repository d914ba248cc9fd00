"""Whether a model can be written in a format of `core.registry.formats`, from its config and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.functions import load_function
from core.base.text import one_line
from core.catalogue.checks import packed as packed_weights
from core.catalogue.checks import read_json
from core.catalogue.fitness import obstacle
from core.catalogue.safetensors_header import read_headers
from core.catalogue.shape import Shape, read_shape
from core.catalogue.vocabulary import vocabulary_kind
from core.registry.families import FAMILIES, reads
from core.registry.family import ONNX
from core.registry.formats import Format

_GROWING_ROPES = ("dynamic",)
_K_QUANT_BLOCK, _BLOCK = 256, 32


@dataclass(frozen=True)
class Described:
    """What decides whether a model can be exported: its config, and how its tokenizer cuts text.

    `vocabulary` is llama.cpp's name for a way of cutting, or empty where it has none; `packed` is True
    for int8 weights.
    """

    config: dict[str, Any]
    vocabulary: str = ""
    packed: bool = False
    obstacle: str = ""
    """Why Retort cannot open the model at all."""
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", read_shape(self.config))


def describe(folder: Path, packed: bool = False) -> Described:
    """Reads a model folder. `packed`: its weights will have been quantised by the time of the export.

    Raises:
        RetortError: its config cannot be read.
    """
    config = read_json(folder / "config.json")
    try:
        cause, _ = obstacle(folder, config, read_headers(folder))
    except RetortError as error:  # no weights, or damaged ones
        cause = error.cause
    return Described(config, vocabulary_kind(folder), packed or bool(packed_weights(config)), cause.rstrip("."))


def reason_against(chosen: Format, model: Described) -> str | None:
    """Why a model cannot be written in a format, or None."""
    return model.obstacle or load_function(chosen.possible)(model)


def remark_on(chosen: Format, model: Described) -> str:
    """What to know about a format that a model can be written in; '' where there is nothing to say."""
    text: str = load_function(chosen.remark)(model)
    return text


def always(model: Described) -> str | None:
    """Every model can."""
    return None


def nothing_to_say(model: Described) -> str:
    """No remark."""
    return ""


def huggingface_remark(model: Described) -> str:
    """What to know of the Hugging Face folder."""
    return "Loading it takes the package torchao beside transformers." if model.packed else ""


def onnx(model: Described) -> str | None:
    """Why it has no ONNX form."""
    if model.packed:
        return "its int8 weights have no ONNX form; export before the quantise step"
    if model.shape.task == "unknown":
        return "its config does not say what the model computes"
    if model.shape.task == "seq2seq":
        return "it has an encoder and a decoder, and Retort writes graphs of models with one stack of layers"
    last = model.shape.task == "classification" and reads(model.shape.family) == "causal"
    if last and model.config.get("pad_token_id") is None:
        return (
            "its classifier looks at the last token that is not padding, and config.json does not say which token is "
            "('pad_token_id')"
        )
    if _rope_kind(model.config) in _GROWING_ROPES:
        return "its position encoding changes with the length of the text, which an ONNX graph of PyTorch cannot"
    if ONNX in model.shape.stays:
        return model.shape.stays[ONNX]
    if model.shape.experts:
        return "PyTorch cannot write the products of its experts as an ONNX graph"
    return None


def onnx_remark(model: Described) -> str:
    """What to know of its ONNX form."""
    return f"In float32.{_uncached(model)}"


def onnx_int8_remark(model: Described) -> str:
    """What to know of its ONNX form with int8 weights."""
    return f"Embeddings and norms stay float32; nothing is calibrated.{_uncached(model)}"


def onnx_float16_remark(model: Described) -> str:
    """What to know of its ONNX form in float16."""
    return f"A CPU computes in float32 what it has no float16 kernel for.{_uncached(model)}"


def _uncached(model: Described) -> str:
    return " No key-value cache: every new token computes the whole text again." * (model.shape.task == "causal")


def gguf(model: Described) -> str | None:
    """Why it has no GGUF form."""
    config, shape = model.config, model.shape
    if model.packed:
        return "its int8 weights are packed for torchao; export before the quantise step"
    written = [family.id for family in FAMILIES.values() if family.gguf]
    if shape.task != "causal" or shape.family not in written:
        known = ", ".join(written)
        return f"Retort writes GGUF for language models of the families {known}; this is '{shape.family}'"
    if shape.heads and shape.kv_heads and shape.heads % shape.kv_heads:
        return f"{shape.heads} heads cannot be shared out over {shape.kv_heads} key-value heads"
    kind = _rope_kind(config)
    if kind != "default":
        return f"its position encoding is stretched ('{_said(kind)}'), which this converter does not write"
    if any(shape.windows):
        return "some layers see a sliding window only, which this converter does not write"
    if shape.family in ("llama", "mistral", "qwen3") and (config.get("attention_bias") or config.get("mlp_bias")):
        return "its layers have biases, which this family has none of in GGUF"
    gelu = {"gpt2": "gelu_new"}.get(shape.family, "silu")
    used = config.get("hidden_act") or config.get("activation_function") or gelu
    if used != gelu:
        return f"its activation is '{_said(used)}', and GGUF has '{gelu}' for this family"
    if not model.vocabulary:
        return "its tokenizer is not a byte-level BPE that llama.cpp knows the rules of"
    return None


def _rope_kind(config: dict[str, Any]) -> Any:
    """How positions are stretched: 'default' where they are not. Of several layer types the first that is."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        return rope
    parts = [part for part in rope.values() if isinstance(part, dict) and {"rope_type", "type"} & set(part)] or [rope]
    kinds = [part.get("rope_type") or part.get("type") or "default" for part in parts]
    return next((kind for kind in kinds if kind != "default"), "default")


def _said(value: Any) -> str:
    return one_line(str(value), 60)


_GPT2_POSITIONS, _QWEN3_HEAD = 1024, 128
"""What transformers' reader of GGUF files takes for granted."""


def gguf_remark(model: Described) -> str:
    """What to know of its GGUF form."""
    shape, said = model.shape, []
    odd = sorted({w for w in (shape.hidden, shape.intermediate) if w and w % _K_QUANT_BLOCK})
    if odd:
        sizes = " and ".join(str(w) for w in odd)
        said.append(
            f"K-quants need rows that are multiples of {_K_QUANT_BLOCK}; rows of {sizes} fall back to other types."
        )
    return " ".join([*said, *_llama_cpp_alone(model)])


def gguf_blocks_remark(model: Described) -> str:
    """What to know of its GGUF form with weights in blocks."""
    shape, said = model.shape, []
    wide = (shape.heads or 0) * (shape.head_dim or 0)
    odd = sorted({w for w in (shape.hidden, shape.intermediate, wide) if w and w % _BLOCK})
    if odd:
        sizes = " and ".join(str(w) for w in odd)
        said.append(f"Blocks hold {_BLOCK} weights; rows of {sizes} are no multiple of that and stay float16.")
    return " ".join([*said, *_llama_cpp_alone(model)])


def _llama_cpp_alone(model: Described) -> list[str]:
    left_out = _unread(model)
    alone = f"llama.cpp reads the file; plain transformers does not read it back, as it leaves out {left_out}."
    return [alone] if left_out else []


def _unread(model: Described) -> str:
    """What transformers' reader of GGUF takes to be the usual where this model has its own; '' for most."""
    shape = model.shape
    if shape.family == "gpt2" and shape.context not in (None, _GPT2_POSITIONS):
        return f"the {shape.context} positions"
    hidden, heads, head = shape.hidden, shape.heads, shape.head_dim
    usual = _QWEN3_HEAD if shape.family == "qwen3" else hidden // heads if hidden and heads else head
    return f"the head size of {head}" if shape.family in ("qwen2", "qwen3") and head and head != usual else ""


def quantisable(config: dict[str, Any]) -> str | None:
    """Why a model's weights cannot be made int8, or None."""
    shape = read_shape(config)
    if packed_weights(config):
        return "its weights are packed already"
    if shape.family == "gpt2":
        return "GPT-2 keeps its weights in a layer of its own kind (Conv1D), which torchao leaves as it is"
    if shape.experts:
        return "its experts are stored in one block each layer, which torchao leaves as it is"
    return None
