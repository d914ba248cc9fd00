"""int8 weights through torchao: one scale per row of each linear layer, activations made int8 as they come.

`Int8DynamicActivationInt8WeightConfig` of torchao: symmetric, w = scale * q with q in [-128, 127] and
scale = max |w| / 127.5 for each output row, and a scale for each token's activations; the product is computed in
integers (`torch._int_mm`).
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig
from transformers import TorchAoConfig

from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.engine.models.load import Loaded, hollow_model, load_model
from core.engine.models.matrices import prunable
from core.engine.models.packed import packed_weights
from core.engine.prune.apply import tensor_files
from core.engine.prune.prune_report import PruneReport

NEEDS_TORCHAO = "Plain transformers loads it where the package torchao is installed as well."
_SPEED = (
    "PyTorch calls the int8 kernels one by one and packs the activations each time: "
    "the file is smaller, but a token is faster only where the measured latency says so."
)


def quantise(folder: Path, dtype: str, reporter: Reporter) -> tuple[Loaded, PruneReport]:
    """The model in `folder` with the linear layers inside its blocks as int8; embeddings, head and norms stay.

    Args:
        folder: a saved model with ordinary weights.
        dtype: what the rest of the model computes in, as for `load_model`.

    Raises:
        RetortError: it cannot be loaded, or has no layer torchao can pack.
    """
    reporter.progress(0, 1, "Packing the weights as int8.")
    skeleton = hollow_model(folder)
    matrices = prunable(skeleton)
    inside = {m.name for m in matrices if m.expert is None and isinstance(m.module, nn.Linear)}
    if not inside:
        raise Impossible(
            "This model has no ordinary linear layers in its blocks, so torchao would leave all weights as they are.",
            "Leave the quantise step out for this model.",
        )
    outside = [n for n, m in skeleton.named_modules() if isinstance(m, nn.Linear) and n not in inside]
    loaded = load_model(folder, dtype, packing=_packing(outside))
    packed = packed_weights(loaded.model)
    if len(packed) != len(inside):
        raise RetortError(
            f"Of {len(inside)} weight matrices torchao packed {len(packed)}.",
            "Leave the quantise step out for this model, and report it with the run's report.",
        )
    zeros = _zeros(folder, inside)
    report = PruneReport(
        facts={"weights": "int8", "packed_matrices": len(packed), "zeros_before_rounding": zeros},
    )
    report.note(f"{len(packed)} matrices inside the blocks are int8; embeddings, head, norms and biases are not.")
    report.note(NEEDS_TORCHAO)
    report.note(_SPEED)
    report.note(
        "Activations are rounded as they come, so the smallest change moves the output: a text may go on differently "
        "with and without the key-value cache. The cache was checked with the same weights and exact activations."
    )
    report.note("Rounding makes the smallest weights zero; they are not counted as pruned.")
    return loaded, report


def _zeros(folder: Path, modules: set[str]) -> int:
    """How many weights of these modules are zero in the files, one tensor at a time."""
    names = {f"{name}.weight" for name in modules}
    short = {name.partition(".")[2] for name in names}  # as the base model alone is stored
    found = 0
    for stored, path in tensor_files(folder).items():
        if stored in names or stored in short:
            with safe_open(path, framework="pt") as file:
                weight = file.get_tensor(stored)
            found += weight.numel() - int(weight.count_nonzero())
    return found


def _packing(outside: list[str]) -> TorchAoConfig:
    return TorchAoConfig(Int8DynamicActivationInt8WeightConfig(version=2), modules_to_not_convert=outside or None)
