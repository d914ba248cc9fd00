"""GGUF to a Hugging Face folder, once: `python -m core.engine.models.convert SOURCE.gguf TARGET`.

A GGUF load takes many seconds and keeps weights packed unless told otherwise, so the samples are
converted to safetensors in bfloat16 when they are fetched, in a process of their own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from core.base.errors import RetortError
from core.base.text import visible


def convert_gguf(source: Path, target: Path) -> int:
    """Writes `source` (one .gguf file) to `target` as safetensors, with tokenizer, template and generation settings.

    Returns:
        The number of parameters, tied ones once.
    Raises:
        RetortError: the file cannot be read as a causal model, or holds weights that are no numbers.
    """
    folder, name = str(source.parent), source.name
    try:
        # dequantize: otherwise the weights stay packed and cannot be saved or pruned.
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise RetortError(
            f"{name} cannot be read as a language model ({error}).", "Use a GGUF file of a supported model."
        ) from error
    for key, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise RetortError(f"The weights '{key}' of {name} are not all numbers.", "Fetch the file again.")
    model.config.__dict__.pop("_model_name_or_path", None)  # the GGUF's title, which is no path
    if hasattr(tokenizer, "backend_tokenizer"):
        _restore_digits(tokenizer.backend_tokenizer, source)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _tidy_tokenizer(target / "tokenizer_config.json", int(model.config.get_text_config().max_position_embeddings))
    return sum(p.numel() for p in model.parameters())


_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r")
"""GGUF pre-tokenizer types whose published tokenizers cut numbers into digits before anything else."""


def _restore_digits(tokenizer: Tokenizer, source: Path) -> None:
    """The GGUF reader of transformers forgets that step; without it some texts get other tokens than published."""
    field = GGUFReader(source).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() in _SINGLE_DIGITS:
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _tidy_tokenizer(path: Path, context: int) -> None:
    """Names a class every transformers version has, and the real context instead of 'no limit'."""
    settings = json.loads(path.read_text("utf-8"))
    for key in ("backend", "is_local", "local_files_only"):
        settings.pop(key, None)
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main(arguments: list[str]) -> int:
    """The child process of `fetch_sample`; the last line of stderr says what went wrong."""
    try:
        convert_gguf(Path(arguments[0]), Path(arguments[1]))
    except RetortError as error:
        sys.stderr.write(visible(f"\n{error}\n"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
