"""GGUF: one file for llama.cpp, with weights, sizes and tokenizer, read back and compared.

Tensors keep the number format they are saved in (vectors are float32, as llama.cpp expects). Sources:
the GGUF specification, and llama.cpp's rule that Llama's rotary pairs lie side by side (2i, 2i + 1) where
transformers has them half a head apart (i, i + d/2).
"""

from __future__ import annotations

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
    """Writes `model.gguf`.

    Raises:
        RetortError: a tensor has no place in GGUF, the tokenizer does not fit, or what is read back differs.
    """
    loaded = load_model(folder, "float32")
    model = loaded.model.cpu()
    stored = anatomy(folder).dtype
    kind, file_type = _TYPES.get(stored, _TYPES["float32"])
    architecture = FAMILIES[model.config.model_type].gguf
    reporter.progress(0, 2, "Writing the GGUF file.")
    writer = gguf.GGUFWriter(target / FILE, architecture)
    _add_sizes(writer, model)
    writer.add_file_type(file_type)
    add_vocabulary(writer, loaded.tokenizer, folder, vocabulary_kind(folder), model.config.vocab_size)
    names = []
    for name, values in _tensors(model, architecture):
        kept = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else kind
        writer.add_tensor(name, gguf.quants.quantize(values, kept), raw_dtype=kept)
        names.append(name)
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
    del model
    loaded.model = None  # type: ignore[assignment] # its weights make room for those read back
    return {
        "file": FILE,
        "max_logit_difference": _compare(target, names, config, ids, mask, expected),
        "compared_with": "the saved model in float32 on random tokens; the file was read back by transformers",
        "tensor_type": kind.name,
        "architecture": architecture,
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


def _tensors(model: PreTrainedModel, architecture: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name in GGUF and float32 values of each parameter; the tied head is left out, as llama.cpp expects."""
    config = model.config
    which = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    places = gguf.get_tensor_name_map(which, config.num_hidden_layers)
    for name, parameter in model.named_parameters():  # tied weights come once
        place = places.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise RetortError(
                f"GGUF has no place for the tensor '{name}' of a '{config.model_type}' model.",
                "Export it as a Hugging Face folder instead.",
            )
        values = parameter.detach()
        if architecture == "llama" and ".attn_q." in place:
            values = side_by_side(values, config.num_attention_heads)
        elif architecture == "llama" and ".attn_k." in place:
            values = side_by_side(values, config.num_key_value_heads)
        elif architecture == "gpt2" and values.dim() == 2 and place.startswith("blk."):
            values = values.t()  # Conv1D keeps (in, out)
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
