"""Loading a model folder: safetensors only, no code of the model's own, and every weight a finite number.

What is loaded is what the folder holds: nothing of it is left out and nothing is made up without a word.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from core.base import memory
from core.base.errors import RetortError
from core.catalogue.kinds import Task, kind_of, refuse_unserved
from core.catalogue.safetensors_header import TensorFacts, read_headers
from core.catalogue.stated import WHOLE
from core.engine.models.complete import left_out, refuse_ids_beyond, refuse_missing, settle_ties
from core.engine.models.packed import all_finite
from core.engine.models.tokenizer import first_sentence, open_tokenizer

logger = logging.getLogger("retort")


_CLASSES: dict[Task, Any] = {
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "seq2seq": AutoModelForSeq2SeqLM,
    "classification": AutoModelForSequenceClassification,
    "encoder": AutoModel,
}
LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    ImportError,
    RuntimeError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    ZeroDivisionError,
    NotImplementedError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises over a config or a file that does not fit: its checks are assertions as often as not."""
_WORKING_SPACE = 1.2
"""Memory asked for per byte of weights: activations and the copies made while a tensor is read."""

_FORWARD = {"return_dict": True, "output_attentions": False, "output_hidden_states": False}
"""What a forward pass gives back, whatever the config asks for: outputs by name, and nothing nobody reads."""

_FILLED = 0.8
"""Share of a model that its files hold at least; what is missing beyond that would be filled with random numbers."""


@dataclass
class Loaded:
    """A model ready to evaluate: in `eval` mode, all weights finite."""

    model: PreTrainedModel
    tokenizer: Any
    folder: Path
    dtype: torch.dtype
    task: Task
    remarks: tuple[str, ...] = ()
    """Sentences on where the folder's files contradict each other, and what was done about it."""


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
    tensors = read_headers(folder)
    refuse_unserved(config, tensors)
    task = task_of(config, tensors)
    transformers_logging.disable_progress_bar()
    with _plain_refusal(folder):
        read = _config_of(folder)
        _refuse_too_large(tensors, _stated(task, read, tensors), chosen)
        model, found = _CLASSES[task].from_pretrained(
            folder,
            config=read,
            dtype=chosen,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation=_attention(task, read),
            output_loading_info=True,
            **_without_pooler(task, read, tensors),
            **({"quantization_config": packing} if packing is not None else {}),
        )
    refuse_missing(found["missing_keys"])
    remarks = left_out(found["unexpected_keys"], tensors, model)
    remarks += settle_ties(model)
    _refuse_not_finite(model)
    model.eval()
    opened = open_tokenizer(folder)
    refuse_ids_beyond(opened.tokenizer, model)
    if torch.cuda.is_available():
        model.to("cuda")
    return Loaded(model, opened.tokenizer, folder, chosen, task, (*opened.remarks, *remarks))


def hollow_model(folder: Path) -> PreTrainedModel:
    """The model in `folder` with parameters on the meta device in their stored dtype, and real buffers.

    Raises:
        RetortError: no config, or code of the model's own.
    """
    given, tensors = _read_config(folder), read_headers(folder)
    refuse_unserved(given, tensors)
    task = task_of(given, tensors)
    with _plain_refusal(folder):
        config = _config_of(folder)
        with init_empty_weights(include_buffers=False):
            model: PreTrainedModel = _CLASSES[task].from_config(
                config,
                dtype=getattr(config, "dtype", None) or torch.float32,
                attn_implementation=_attention(task, config),
                **_without_pooler(task, config, tensors),
            )
    model.eval()
    return model


def task_of(config: dict[str, Any], names: Iterable[str] = ()) -> Task:
    """What a model does, from the class its config names, or from the `names` of its tensors.

    Raises:
        RetortError: Retort does not serve such a model.
    """
    names = list(names)
    refuse_unserved(config, names)
    kind = kind_of(config, names)
    assert kind != "unknown"
    return kind


@contextmanager
def _plain_refusal(folder: Path) -> Iterator[None]:
    """Whatever transformers raises over a folder it cannot load becomes one sentence."""
    try:
        yield
    except LOAD_ERRORS as error:
        logger.info("loading %s failed", folder, exc_info=error)
        raise RetortError(
            f"The model in '{folder.name}' could not be loaded: {first_sentence(error)}",
            "Check that the folder holds a complete model that this version of transformers knows.",
        ) from error


def _config_of(folder: Path) -> Any:
    """The config as transformers reads it, without a statement on packed weights that states nothing, and with outputs
    as Retort reads them."""
    given = _read_config(folder)
    if "auto_map" in given:  # null or empty, which transformers stumbles over
        del given["auto_map"]
        config = CONFIG_MAPPING[str(given.get("model_type"))].from_dict(given)
    else:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        if "quantization_config" in part.__dict__ and not part.quantization_config:
            del part.quantization_config
        for name, value in _FORWARD.items():
            setattr(part, name, value)
    return config


def _attention(task: Task, config: Any) -> str:
    """PyTorch's own attention where the model's class has it, else the one written out (BLOOM)."""
    kind = _CLASSES[task]._model_mapping.get(type(config), None)
    return "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"


def _without_pooler(task: Task, config: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """An encoder that was saved without a pooling layer is loaded without: transformers would make up a random one."""
    if task != "encoder" or any(".pooler." in f".{name}" for name in tensors):
        return {}
    kind: Any = AutoModel._model_mapping.get(type(config), None)
    takes = kind is not None and "add_pooling_layer" in inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if takes else {}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RetortError(
            f"'{folder.name}' has no readable config.json.", "Choose a folder that save_pretrained wrote."
        ) from error
    if config.get("auto_map"):
        raise RetortError(
            f"'{folder.name}' needs program code that comes with the model.",
            "Retort never runs such code: choose a model of a type transformers knows by itself.",
        )
    return config


def _refuse_too_large(tensors: Mapping[str, TensorFacts], stated: int, dtype: torch.dtype) -> None:
    """transformers builds what the config states, whatever the files hold: the larger of the two has to fit."""
    stored = sum(facts.count for facts in tensors.values())
    if stated * _FILLED > stored:
        raise RetortError(
            f"The model's files hold {stored:,} parameters, and its config.json states {stated:,}.",
            WHOLE,
        )
    needed, free = max(stored, stated) * dtype.itemsize * _WORKING_SPACE, memory.available()
    if needed > free:
        raise RetortError(
            f"Loading this model takes about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB is free.",
            "Close other programs, choose bfloat16, or choose a smaller model.",
        )


def _stated(task: Task, config: Any, tensors: Mapping[str, Any]) -> int:
    """Parameters of the model that the config describes, which is built without memory; 0 where it describes none."""
    try:
        with torch.device("meta"):
            model = _CLASSES[task].from_config(copy.deepcopy(config), **_without_pooler(task, config, tensors))
        return sum(weight.numel() for weight in model.parameters())
    except LOAD_ERRORS as error:  # said when the model is loaded
        logger.info("the model could not be sized", exc_info=error)
        return 0


def _refuse_not_finite(model: PreTrainedModel) -> None:
    for name, weight in model.named_parameters():
        if not all_finite(weight):
            raise RetortError(
                f"The tensor '{name}' holds values that are not numbers (NaN or infinite).",
                "Its figures would mean nothing: use an undamaged copy of the model.",
            )
