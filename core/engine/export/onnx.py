"""ONNX: the model's graph through `torch.onnx`, run in ONNX Runtime on other sizes than it was traced with.

Inputs `input_ids` and `attention_mask` (batch, tokens), both sizes free; output `logits` (or
`last_hidden_state`). No key-value cache: a text's next token costs the whole text again.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented, RuntimeException
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.export.same_function import PlainForward, largest_difference, probe
from core.engine.models.load import load_model
from core.engine.models.tokenizer_files import write_tokenizer

logger = logging.getLogger("retort")
FILE = "model.onnx"
_UNWRITABLE = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, IndexError, KeyError)
"""What tracing a model's own code raises where that code cannot be traced."""
_COMPARED = ((1, 5, 0), (3, 40, 4))  # batch, tokens, masked at the end of the last row


def write(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.onnx` (weights beside it in `model.onnx.data`), in float32, and the tokenizer.

    Raises:
        RetortError: the graph cannot be written, or ONNX Runtime computes something else from it.
    """
    loaded = load_model(folder, "float32")
    model = loaded.model.cpu()
    output = "last_hidden_state" if loaded.task == "encoder" else "logits"
    probes = [probe(model, *sizes) for sizes in _COMPARED]
    with torch.inference_mode():
        expected = [PlainForward(model)(*inputs) for inputs in probes]
    reporter.progress(0, 2, "Writing the ONNX graph.")
    _trace(model, target / FILE, output)
    write_tokenizer(loaded.tokenizer, target)
    del model
    loaded.model = None  # type: ignore[assignment] # its weights make room for those of the session
    reporter.checkpoint()
    reporter.progress(1, 2, "Running it in ONNX Runtime.")
    return {
        "file": FILE,
        "max_logit_difference": _compare(target / FILE, probes, expected),
        "compared_with": "the same model in PyTorch, float32, on random tokens in batches of 1 and 3",
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "key_value_cache": False,
    }


def _trace(model: PreTrainedModel, path: Path, output: str) -> None:
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}  # (batch, tokens)
    previous = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                PlainForward(model),
                probe(model, 2, 7),
                path,
                input_names=["input_ids", "attention_mask"],
                output_names=[output],
                dynamo=True,
                dynamic_shapes=(free, free),
                external_data=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, *_UNWRITABLE) as error:
        logger.info("the ONNX export failed", exc_info=error)
        raise RetortError(
            f"PyTorch cannot write a '{model.config.model_type}' model as an ONNX graph.",
            "Export it as a Hugging Face folder instead.",
        ) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(previous)


def _compare(path: Path, probes: list[tuple[Tensor, Tensor]], expected: list[Tensor]) -> float:
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given = [{"input_ids": ids.numpy(), "attention_mask": mask.numpy()} for ids, mask in probes]
        outputs = [session.run(None, inputs)[0] for inputs in given]
    except (Fail, RuntimeException, InvalidGraph, NotImplemented) as error:
        logger.info("ONNX Runtime failed", exc_info=error)
        raise RetortError(
            "ONNX Runtime cannot run the graph that PyTorch wrote of this model.",
            "Export it as a Hugging Face folder instead.",
        ) from error
    for (_, mask), wanted, found in zip(probes, expected, outputs, strict=True):
        largest = max(largest, largest_difference("ONNX graph", torch.from_numpy(found), wanted, mask))
    return largest
