"""Loading a model folder: safetensors only, no code of the model's own, and every weight a finite number."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from core import memory
from core.engine.models.packed import all_finite
from core.errors import RetortError

logger = logging.getLogger("retort")

Task = Literal["causal", "masked", "classification", "encoder"]

_CLASSES: dict[Task, Any] = {
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "classification": AutoModelForSequenceClassification,
    "encoder": AutoModel,
}
_WORKING_SPACE = 1.2
"""Memory asked for per byte of weights: activations and the copies made while a tensor is read."""


@dataclass
class Loaded:
    """A model ready to evaluate: in `eval` mode, all weights finite."""

    model: PreTrainedModel
    tokenizer: Any
    folder: Path
    dtype: torch.dtype
    task: Task


def compute_dtype(requested: str = "auto") -> torch.dtype:
    """The dtype to compute in. `auto`: bfloat16 where the processor (or graphics card) multiplies in it.

    Raises:
        RetortError: a name that is neither `auto`, `float32` nor `bfloat16`.
    """
    if requested == "auto":
        return torch.bfloat16 if _computes_bfloat16() else torch.float32
    if requested not in ("float32", "bfloat16"):
        raise RetortError(f"'{requested}' is not a number format Retort computes in.", "Choose float32 or bfloat16.")
    return torch.bfloat16 if requested == "bfloat16" else torch.float32


def _computes_bfloat16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def load_model(folder: Path, dtype: str = "auto", *, packing: Any = None) -> Loaded:
    """Loads the model in `folder` with the class its config names, on the CPU or the first graphics card.

    Args:
        folder: config.json, *.safetensors and the tokenizer's files.
        dtype: what to compute in: `auto`, `float32` or `bfloat16`.
        packing: a quantisation config of transformers, applied to each weight as it is read.

    Raises:
        RetortError: no config or no safetensors file, code of the model's own, a type transformers does
            not know, too little memory, a damaged file, or a weight that is not a number.
    """
    folder = Path(folder)
    config = _read_config(folder)
    chosen = compute_dtype(dtype)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RetortError(
            f"'{folder.name}' has no .safetensors file.",
            "Retort never opens pickled weights: save the model again with save_pretrained.",
        )
    _refuse_too_large(files, chosen)
    task = task_of(config)
    transformers_logging.disable_progress_bar()
    try:
        model, found = _CLASSES[task].from_pretrained(
            folder, dtype=chosen, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            attn_implementation="sdpa", output_loading_info=True,
            **({"quantization_config": packing} if packing is not None else {}),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        logger.info("loading %s failed", folder, exc_info=error)
        raise RetortError(
            f"The model in '{folder.name}' could not be loaded: {_first_sentence(error)}",
            "Check that the folder holds a complete model that this version of transformers knows.",
        ) from error
    _refuse_incomplete(found["missing_keys"])
    _refuse_not_finite(model)
    model.eval()
    if torch.cuda.is_available():
        model.to("cuda")
    return Loaded(model, _load_tokenizer(folder), folder, chosen, task)


def hollow_model(folder: Path) -> PreTrainedModel:
    """The model in `folder` with parameters on the meta device in their stored dtype, and real buffers.

    Raises:
        RetortError: no config, or code of the model's own.
    """
    task = task_of(_read_config(folder))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = _CLASSES[task].from_config(
            config, dtype=getattr(config, "dtype", None) or torch.float32, attn_implementation="sdpa"
        )
    model.eval()
    return model


def task_of(config: dict[str, Any]) -> Task:
    """What a model does, from the `architectures` in its config; without them, only its encoder is used."""
    name = (config.get("architectures") or [""])[0]
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        return "causal"
    if name.endswith("ForMaskedLM"):
        return "masked"
    return "classification" if name.endswith("ForSequenceClassification") else "encoder"


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RetortError(
            f"'{folder.name}' has no readable config.json.", "Choose a folder that save_pretrained wrote."
        ) from error
    if "auto_map" in config:
        raise RetortError(
            f"'{folder.name}' needs program code that comes with the model.",
            "Retort never runs such code: choose a model of a type transformers knows by itself.",
        )
    return config


def _refuse_too_large(files: list[Path], dtype: torch.dtype) -> None:
    needed = 0.0
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a dictionary: it cannot be iterated)
                    count = 1
                    for size in file.get_slice(name).get_shape():
                        count *= size
                    needed += count * dtype.itemsize
        except (SafetensorError, OSError) as error:
            raise RetortError(f"'{path.name}' is damaged or cut short.", "Download or save the model again.") from error
    free = memory.available()
    if needed * _WORKING_SPACE > free:
        raise RetortError(
            f"Loading this model takes about {needed * _WORKING_SPACE / 1e9:.1f} GB of memory; "
            f"{free / 1e9:.1f} GB is free.",
            "Close other programs, choose bfloat16, or choose a smaller model.",
        )


def _refuse_incomplete(missing: Iterable[str]) -> None:
    """transformers fills in what a file lacks with random numbers; a pooler that nothing reads may be missing."""
    lost = sorted(name for name in missing if ".pooler." not in f".{name}")
    if lost:
        raise RetortError(
            f"The model's files lack {len(lost)} of its tensors, such as '{lost[0]}'.",
            "Its figures would mean nothing: use a complete copy of the model.",
        )


def _refuse_not_finite(model: PreTrainedModel) -> None:
    for name, weight in model.named_parameters():
        if not all_finite(weight):
            raise RetortError(
                f"The tensor '{name}' holds values that are not numbers (NaN or infinite).",
                "Its figures would mean nothing: use an undamaged copy of the model.",
            )


def _load_tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetortError(
            f"The tokenizer in '{folder.name}' could not be loaded: {_first_sentence(error)}",
            "Copy the tokenizer's files (tokenizer.json, tokenizer_config.json) into the folder.",
        ) from error


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0][:200].rstrip(".") + "."
