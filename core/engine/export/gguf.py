"""GGUF: one file for llama.cpp, with weights, sizes and tokenizer, read back and compared.

Tensors keep the number format they are saved in, or are rounded in blocks (`gguf_blocks.py`); vectors are float32, as
llama.cpp expects. Sources: the GGUF specification, and llama.cpp's rule that Llama's rotary pairs lie side by side
(2i, 2i + 1) where transformers has them half a head apart (i, i + d/2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.catalogue.anatomy import anatomy
from core.catalogue.vocabulary import vocabulary_kind
from core.engine.export.gguf_blocks import BLOCK, BLOCK_TYPES, round_weights, type_of
from core.engine.export.gguf_vocabulary import add_vocabulary
from core.engine.export.same_function import PlainForward, largest_difference, probe
from core.engine.models.load import load_model
from core.registry.families import FAMILIES

FILE = "model.gguf"
_TYPES = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "float16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bfloat16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}


def write(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.gguf` in the number format the model is saved in.

    Raises:
        RetortError: a tensor has no place in GGUF, the tokenizer does not fit, or what is read back differs.
    """
    stored = anatomy(folder).dtype
    return _write(folder, target, reporter, *_TYPES.get(stored, _TYPES["float32"]))


def write_q8_0(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.gguf` in 8-bit blocks. Raises RetortError as `write` does."""
    return _write(folder, target, reporter, gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0)


def write_q4_0(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.gguf` in 4-bit blocks, its head in Q8_0. Raises RetortError as `write` does."""
    return _write(folder, target, reporter, gguf.GGMLQuantizationType.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0)


def _write(
    folder: Path, target: Path, reporter: Reporter, kind: gguf.GGMLQuantizationType, file_type: gguf.LlamaFileType
) -> dict[str, Any]:
    loaded = load_model(folder, "float32")
    model = loaded.model.cpu()
    architecture = FAMILIES[model.config.model_type].gguf
    reporter.progress(0, 2, "Writing the GGUF file.")
    writer = gguf.GGUFWriter(target / FILE, architecture)
    _add_sizes(writer, model)
    writer.add_file_type(file_type)
    if kind in BLOCK_TYPES:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_vocabulary(writer, loaded.tokenizer, folder, vocabulary_kind(folder), model.config.vocab_size)
    names = _add_tensors(writer, model, architecture, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reporter.checkpoint()
    reporter.progress(1, 2, "Reading the GGUF file back.")
    ids, mask = probe(model, 2, 24)
    # transformers' reader leaves out GPT-2's context and Qwen's head size: those it has to be told.
    config = None if architecture == "llama" else model.config
    with torch.inference_mode():
        expected = PlainForward(model)(ids, mask)  # (2, tokens, vocabulary)
    facts: dict[str, Any] = {}
    if kind in BLOCK_TYPES:
        exact, expected = expected, _rounded(model, architecture, kind, ids, mask)
        facts = _said_of_rounding(exact, expected, names, kind, reporter)
    del model
    loaded.model = None  # type: ignore[assignment] # its weights make room for those read back
    return {
        "file": FILE,
        "max_logit_difference": _compare(target, list(names), config, ids, mask, expected),
        "compared_with": "the saved model in float32 on random tokens; the file was read back by transformers",
        "tensor_type": kind.name,
        "architecture": architecture,
        **facts,
    }


def _add_tensors(
    writer: gguf.GGUFWriter, model: PreTrainedModel, architecture: str, kind: gguf.GGMLQuantizationType
) -> dict[str, gguf.GGMLQuantizationType]:
    """Adds every tensor to the file; its type by its name."""
    names = {}
    for name, values in _tensors(model, architecture):
        kept = type_of(name, values.shape, kind, model)
        writer.add_tensor(name, gguf.quants.quantize(values, kept), raw_dtype=kept)
        names[name] = kept
    return names


def _rounded(
    model: PreTrainedModel, architecture: str, kind: gguf.GGMLQuantizationType, ids: Tensor, mask: Tensor
) -> Tensor:
    """What the model gives, (batch, tokens, vocabulary), once its weights in memory are rounded; they stay so."""
    with torch.inference_mode():
        for place, parameter in _placed(model, architecture):
            turned = _turned(architecture, place, parameter)
            matrix = parameter.detach().t() if turned else parameter.detach()
            rounded = round_weights(matrix, type_of(place, tuple(matrix.shape), kind, model))
            parameter.copy_(rounded.t() if turned else rounded)
        found: Tensor = PlainForward(model)(ids, mask)
    return found


def _said_of_rounding(
    exact: Tensor,
    rounded: Tensor,
    names: dict[str, gguf.GGMLQuantizationType],
    kind: gguf.GGMLQuantizationType,
    reporter: Reporter,
) -> dict[str, Any]:
    """How far rounding moves the logits (batch, tokens, vocabulary), and which tensors kept more bits."""
    narrow = [n for n, kept in names.items() if kept is gguf.GGMLQuantizationType.F16]
    if narrow:
        reporter.event(
            "warning",
            f"{len(narrow)} of {len(names)} tensors stay float16: {kind.name} rounds {BLOCK} weights together, and "
            "their rows are no multiple of that.",
        )
    return {
        "compared_with": "the saved model with its weights rounded likewise; the file was read back by transformers",
        "tensors": dict(Counter(kept.name for kept in names.values())),
        "stay_float16": narrow,
        "rounding_moves_logits_by": float((rounded - exact).abs().max()),
        "relative_error": float((rounded - exact).norm() / exact.norm()),
        "same_first_choice": float((rounded.argmax(-1) == exact.argmax(-1)).float().mean()),
    }


def _add_sizes(writer: gguf.GGUFWriter, model: PreTrainedModel) -> None:
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_vocab_size(config.vocab_size)


def _placed(model: PreTrainedModel, architecture: str) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Each parameter with its name in GGUF; tied ones come once. Raises RetortError where one has none."""
    which = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    places = gguf.get_tensor_name_map(which, model.config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        place = places.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise RetortError(
                f"GGUF has no place for the tensor '{name}' of a '{model.config.model_type}' model.",
                "Export it as a Hugging Face folder instead.",
            )
        yield place, parameter


def _turned(architecture: str, place: str, parameter: Tensor) -> bool:
    """Whether transformers keeps it as (in, out), as GPT-2's Conv1D does."""
    return architecture == "gpt2" and parameter.dim() == 2 and place.startswith("blk.")


def _tensors(model: PreTrainedModel, architecture: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name in GGUF and float32 values of each parameter; the tied head is left out, as llama.cpp expects."""
    config = model.config
    for place, parameter in _placed(model, architecture):
        values = parameter.detach()
        if architecture == "llama" and ".attn_q." in place:
            values = side_by_side(values, config.num_attention_heads)
        elif architecture == "llama" and ".attn_k." in place:
            values = side_by_side(values, config.num_key_value_heads)
        elif _turned(architecture, place, parameter):
            values = values.t()
        yield place, np.ascontiguousarray(values.numpy(), dtype=np.float32)


def side_by_side(weight: Tensor, heads: int) -> Tensor:
    """Reorders the rows (heads * d, in) of each head from 0 .. d-1 to 0, d/2, 1, d/2 + 1, ..."""
    rows = weight.view(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])  # (heads, 2, d/2, in)
    return rows.transpose(1, 2).reshape(weight.shape)


def _compare(target: Path, names: list[str], config: Any, ids: Tensor, mask: Tensor, expected: Tensor) -> float:
    reader = gguf.GGUFReader(target / FILE)
    if sorted(t.name for t in reader.tensors) != sorted(names):
        raise RetortError("The GGUF file does not hold the tensors that were written.", "Check the disk and try again.")
    again = AutoModelForCausalLM.from_pretrained(
        target, gguf_file=FILE, config=config, dtype=torch.float32, local_files_only=True
    )
    with torch.inference_mode():
        found = PlainForward(again.eval())(ids, mask)
    return largest_difference("GGUF file", found, expected)
