"""A graph in ONNX Runtime on the CPU, and what it makes of token ids."""

from __future__ import annotations

import logging
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented, RuntimeException
from torch import Tensor

from core.base.errors import RetortError

logger = logging.getLogger("retort")
RUNTIME = f"onnxruntime {onnxruntime.__version__}"


def session(path: Path) -> onnxruntime.InferenceSession:
    """The graph, ready to run. Raises RetortError where ONNX Runtime cannot run it."""
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except (Fail, RuntimeException, InvalidGraph, NotImplemented) as error:
        raise _cannot(error) from error


def outputs(path: Path, inputs: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The graph's output for each pair of token ids and mask (batch, tokens). Raises RetortError where it fails."""
    running = session(path)
    return [output(running, ids, mask) for ids, mask in inputs]


def output(running: onnxruntime.InferenceSession, ids: Tensor, mask: Tensor) -> Tensor:
    """The output for token ids and mask (batch, tokens), as float32. Raises RetortError where the graph fails."""
    try:
        (found,) = running.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    except (Fail, RuntimeException, InvalidGraph, NotImplemented) as error:
        raise _cannot(error) from error
    return torch.from_numpy(found).float()


def _cannot(error: Exception) -> RetortError:
    logger.info("ONNX Runtime failed", exc_info=error)
    return RetortError(
        "ONNX Runtime cannot run the graph that was written of this model.",
        "Export it as a Hugging Face folder instead.",
    )
