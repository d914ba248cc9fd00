"""ONNX: the model's graph through `torch.onnx`, run in ONNX Runtime on other sizes than it was traced with.

Inputs `input_ids` and `attention_mask` (batch, tokens), both sizes free; output `logits` (or
`last_hidden_state`). No key-value cache: a text's next token costs the whole text again.
float16 and int8 weights: `onnx_rounded.py`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.export.onnx_folder import FILE, write_around
from core.engine.export.onnx_run import RUNTIME, outputs
from core.engine.export.same_function import PlainForward, largest_difference, probe
from core.engine.models.load import Loaded, load_model

logger = logging.getLogger("retort")
_UNWRITABLE = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, IndexError, KeyError)
"""What tracing a model's own code raises where that code cannot be traced."""
_COMPARED = ((1, 5, 0), (3, 40, 4))  # batch, tokens, masked at the end of the last row


def write(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.onnx` (weights beside it in `model.onnx.data`), in float32, config, tokenizer and an example.

    Raises:
        RetortError: the graph cannot be written, or ONNX Runtime computes something else from it.
    """
    ran = written(folder, target, reporter, "", trace)
    difference = max(largest_difference("ONNX graph", r.found, r.expected, r.mask) for r in ran)
    return {"max_logit_difference": difference, **FACTS}


FACTS = {
    "file": FILE,
    "compared_with": "the same model in PyTorch, float32, on random tokens in batches of 1 and 3",
    "runtime": RUNTIME,
    "key_value_cache": False,
}


class Ran(NamedTuple):
    """What the graph found for random tokens, what the model makes of them, and their mask (batch, tokens)."""

    found: Tensor
    expected: Tensor
    mask: Tensor


def written(
    folder: Path, target: Path, reporter: Reporter, weights: str, write_graph: Callable[[Loaded, Path], None]
) -> list[Ran]:
    """Writes the graph and what lies beside it, and runs it in ONNX Runtime.

    Args:
        weights: of how many bits they are, as a sentence says it; '' where they stay as they are.
        write_graph: writes the graph of a model in float32, which it may change, to a path.
    """
    loaded = load_model(folder, "float32")
    model = loaded.model.cpu()
    probes = [probe(model, *sizes) for sizes in _COMPARED]
    with torch.inference_mode():
        expected = [PlainForward(model)(*inputs) for inputs in probes]
    write_around(loaded, folder, target)
    reporter.progress(0, 2, f"Writing the ONNX graph{f' with {weights} weights' if weights else ''}.")
    write_graph(loaded, target / FILE)
    del model
    loaded.model = None  # type: ignore[assignment] # its weights make room for those of the session
    reporter.checkpoint()
    reporter.progress(1, 2, "Running it in ONNX Runtime.")
    found = outputs(target / FILE, probes)
    return [Ran(f, e, mask) for f, e, (_, mask) in zip(found, expected, probes, strict=True)]


@contextmanager
def errors_only(name: str) -> Iterator[None]:
    """A library's logger says nothing below an error inside; '' is the root's, which some write to."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def trace(loaded: Loaded, path: Path) -> None:
    """Writes the model's graph as it is in memory. Raises RetortError where PyTorch cannot."""
    model, output = loaded.model, "last_hidden_state" if loaded.task == "encoder" else "logits"
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}  # (batch, tokens)
    try:
        with errors_only("torch.onnx"), torch.no_grad(), warnings.catch_warnings():
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
