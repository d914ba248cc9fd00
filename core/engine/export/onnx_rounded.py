"""ONNX graphs with weights in fewer bits, run in ONNX Runtime and compared with the model in float32.

int8: ONNX Runtime's own dynamic quantiser. Every weight matrix is kept as q in [0, 255] with a scale and a zero point
for each output column; activations are rounded to [0, 255] as they come, with one scale a tensor. Both sides are
unsigned, since signed weights overflow 16-bit sums on processors without VNNI. Norms, biases and embeddings stay
float32. Nothing is calibrated.
float16: every weight is rounded to it; ONNX Runtime computes in float32 what its CPU kernels lack.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from core.base.errors import Impossible
from core.base.progress import Reporter
from core.engine.export.onnx import FACTS, Ran, errors_only, trace, written
from core.engine.export.onnx_folder import FILE
from core.engine.models.load import Loaded


def write_float16(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.onnx` with float16 weights, and what `onnx.write` writes beside it.

    Raises:
        RetortError: the graph cannot be written or run, or a number is too large for float16.
    """

    def write_graph(loaded: Loaded, path: Path) -> None:
        for parameter in loaded.model.parameters():  # buffers, such as the angles of positions, stay exact
            parameter.data = parameter.data.half()
        trace(loaded, path)

    return _compared(written(folder, target, reporter, "float16", write_graph), "float16")


def write_int8(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Writes `model.onnx` with int8 weights, and what `onnx.write` writes beside it.

    Raises:
        RetortError: the graph cannot be written or run, or its output is not a number.
    """

    def write_graph(loaded: Loaded, path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            exact = Path(scratch) / FILE
            trace(loaded, exact)
            _quantise(exact, path)

    return _compared(written(folder, target, reporter, "int8", write_graph), "int8")


def _quantise(exact: Path, path: Path) -> None:
    with errors_only(""):  # it advises a pass that PyTorch's graphs have behind them
        quantize_dynamic(
            exact,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
            use_external_data_format=True,
        )


def _compared(ran: list[Ran], weights: str) -> dict[str, Any]:
    """How far rounding moves the output (batch, tokens, vocabulary) or (batch, classes), padding left out.

    Raises:
        Impossible: it is not a number any more.
    """
    pairs = [(f[m.bool()], e[m.bool()]) if f.dim() == 3 else (f, e) for f, e, m in ran]
    out = torch.cat([f.flatten(0, -2) for f, _ in pairs])  # (rows, vocabulary or classes)
    wanted = torch.cat([e.flatten(0, -2) for _, e in pairs])
    if not bool(torch.isfinite(out).all()):
        raise Impossible(
            f"With {weights} weights the graph's output is not a number any more.",
            "Export it as ONNX in float32 instead.",
        )
    gap = out - wanted
    return {
        "max_logit_difference": float(gap.abs().max()),
        "relative_error": float(gap.norm() / wanted.norm()),
        "same_first_choice": float((out.argmax(-1) == wanted.argmax(-1)).float().mean()),
        **FACTS,
        "weights": weights,
    }
