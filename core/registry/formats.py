"""The registry of export formats: what each is, and which functions write it and say whether they can. No torch.

`entry` names the engine's function that writes it, imported by the worker only:
`f(folder, target, reporter) -> facts`, where `folder` is a saved model and `target` a new folder it fills.
`possible` and `remark` name functions of a `core.catalogue.exportable.Described` model: why it cannot be written so
(None where it can), and what to know (empty where there is nothing to say).
A new format is one file in `core/engine/export/`, its reasons and one entry here; another package adds one by an entry
point of the group `retort.exports` (docs/extending.md).
"""

from __future__ import annotations

from dataclasses import dataclass

_REASONS = "core.catalogue.exportable"


@dataclass(frozen=True)
class Format:
    """One way to write a model. `entry`, `possible` and `remark` are `module:function`."""

    id: str
    label: str
    explanation: str
    entry: str
    possible: str = f"{_REASONS}:always"
    remark: str = f"{_REASONS}:nothing_to_say"
    requires: str = "transformers"
    """The package that writes the format."""
    weights: tuple[str, ...] = (".safetensors",)
    """How the names of the files end that hold its weights: their bytes are the size of the export."""


EXPORTS: dict[str, Format] = {
    f.id: f
    for f in (
        Format(
            "huggingface",
            "Hugging Face folder",
            "The ordinary folder that transformers loads.",
            "core.engine.export.huggingface:write",
            f"{_REASONS}:always",
            f"{_REASONS}:huggingface_remark",
        ),
        Format(
            "onnx",
            "ONNX",
            "A graph for ONNX Runtime, run there and compared before it counts as exported.",
            "core.engine.export.onnx:write",
            f"{_REASONS}:onnx",
            f"{_REASONS}:onnx_remark",
            "onnx",
            (".onnx", ".data"),
        ),
        Format(
            "onnx-int8",
            "ONNX, int8",
            "The same graph with int8 weights, rounded by ONNX Runtime's own quantiser and run there.",
            "core.engine.export.onnx_rounded:write_int8",
            f"{_REASONS}:onnx",
            f"{_REASONS}:onnx_int8_remark",
            "onnx",
            (".onnx", ".data"),
        ),
        Format(
            "onnx-float16",
            "ONNX, float16",
            "The same graph with float16 weights, half the size, run in ONNX Runtime.",
            "core.engine.export.onnx_rounded:write_float16",
            f"{_REASONS}:onnx",
            f"{_REASONS}:onnx_float16_remark",
            "onnx",
            (".onnx", ".data"),
        ),
        Format(
            "gguf",
            "GGUF",
            "One file for llama.cpp with weights and tokenizer, read back and compared before it counts as exported.",
            "core.engine.export.gguf:write",
            f"{_REASONS}:gguf",
            f"{_REASONS}:gguf_remark",
            "gguf",
            (".gguf",),
        ),
        Format(
            "gguf-q8_0",
            "GGUF, Q8_0",
            "The same file with weights of 8 bits in blocks, read back and compared.",
            "core.engine.export.gguf:write_q8_0",
            f"{_REASONS}:gguf",
            f"{_REASONS}:gguf_blocks_remark",
            "gguf",
            (".gguf",),
        ),
        Format(
            "gguf-q4_0",
            "GGUF, Q4_0",
            "The same file with weights of 4 bits in blocks, its head in Q8_0, read back and compared.",
            "core.engine.export.gguf:write_q4_0",
            f"{_REASONS}:gguf",
            f"{_REASONS}:gguf_blocks_remark",
            "gguf",
            (".gguf",),
        ),
    )
}
