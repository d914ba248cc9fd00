"""A folder with a LoRA adapter as a model: its base is found, and the two are merged into an ordinary model folder.

Merging changes values only, never a shape or a type: the base's files are copied, and the changed tensors written in
place. Hu et al. 2021, LoRA, eq. 3: W + (alpha / r) B A. No torch: pages ask too.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.base.durable_files import replacing_folder
from core.base.errors import Impossible, RetortError
from core.base.text import one_line
from core.catalogue.checks import read_json
from core.catalogue.safetensors_header import TensorFacts, read_header, read_headers

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_OTHERS = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication", "target_parameters")
"""Settings that make more of an adapter than two matrices beside a linear layer."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter, as `read_adapter` found it."""

    folder: Path
    base: str
    """As its config names it: a folder, or a name on the hub, perhaps with '@revision'."""
    rank: int
    scale: float
    transposed: bool
    """The base stores its linear layers as (in, out)."""


def is_adapter(folder: Path) -> bool:
    """True for a folder with an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def read_adapter(folder: Path) -> Adapter:
    """What an adapter folder says.

    Raises:
        RetortError: it is none that can be merged; the kind is named.
    """
    config = read_json(folder / CONFIG)
    kind, base = one_line(str(config.get("peft_type")), 40), config.get("base_model_name_or_path")
    if kind != "LORA":
        raise _unmerged(f"it is of the kind '{kind}', and only LoRA is merged")
    for name in _OTHERS:
        if config.get(name):
            raise _unmerged(f"it uses '{name}'")
    if config.get("bias") not in (None, "none"):
        raise _unmerged("it has biases of its own")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise _unmerged("its config states no rank and scale ('r', 'lora_alpha')")
    if not isinstance(base, str) or not base.strip():
        raise RetortError(
            f"{CONFIG} does not say which model the adapter belongs to.",
            "Write that model's folder or its name on the hub into 'base_model_name_or_path'.",
        )
    if not (folder / WEIGHTS).is_file():
        raise RetortError(f"The adapter has no {WEIGHTS}.", "Save it again with a current peft.")
    revision = config.get("revision")
    named = base.strip() + (f"@{revision}" if isinstance(revision, str) and revision and "/" in base else "")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return Adapter(folder, named, rank, scale, bool(config.get("fan_in_fan_out")))


def merge(adapter: Adapter, base: Path, target: Path) -> None:
    """Writes the base with the adapter merged in, as an ordinary model folder.

    Raises:
        RetortError: a matrix has no counterpart in the base, or another shape.
        OSError: the disk is full or may not be written to.
    """
    tensors, parts = read_headers(base), read_header(adapter.folder / WEIGHTS)
    pairs = _pairs(parts)
    for name, (a, b) in pairs.items():
        if name not in tensors:
            raise _unmerged(f"the base model has no tensor '{one_line(name, 120)}'")
        wanted = (b.shape[0], a.shape[-1])
        shape = tensors[name].shape[::-1] if adapter.transposed else tensors[name].shape
        if (a.shape[0], b.shape[1], shape) != (adapter.rank, adapter.rank, wanted):
            raise _unmerged(f"its matrices for '{one_line(name, 120)}' do not fit that tensor of the base model")
    with replacing_folder(target) as temporary:
        for file in base.iterdir():
            if file.is_file():
                shutil.copyfile(file, temporary / file.name)
        for name, (a, b) in pairs.items():
            change = adapter.scale * (_read(b) @ _read(a))
            found = tensors[name]
            assert found.file is not None
            merged = _read(found) + (change.T if adapter.transposed else change)
            with (temporary / found.file.name).open("r+b") as weights:
                weights.seek(found.begin)
                weights.write(_bytes(merged, found.dtype))


def _pairs(parts: dict[str, TensorFacts]) -> dict[str, tuple[TensorFacts, TensorFacts]]:
    """By the base's tensor: A (rank, in) and B (out, rank)."""
    found: dict[str, tuple[TensorFacts, TensorFacts]] = {}
    for name in parts:
        if not name.startswith(_PREFIX) or not name.endswith((".lora_A.weight", ".lora_B.weight")):
            raise _unmerged(f"it holds '{one_line(name, 120)}', which is no matrix of LoRA")
        stem = name.rpartition(".lora_")[0]
        a, b = parts.get(f"{stem}.lora_A.weight"), parts.get(f"{stem}.lora_B.weight")
        if a is None or b is None or len(a.shape) != 2 or len(b.shape) != 2 or not {a.dtype, b.dtype} <= set(_TYPES):
            raise _unmerged(f"the two matrices for '{one_line(stem, 120)}' are not complete")
        found[f"{stem.removeprefix(_PREFIX)}.weight"] = (a, b)
    return found


_TYPES: dict[str, Any] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def _read(facts: TensorFacts) -> Floats:
    assert facts.file is not None
    if facts.dtype not in _TYPES:
        raise _unmerged(f"'{one_line(facts.name, 120)}' is stored as {facts.dtype}")
    with facts.file.open("rb") as file:
        file.seek(facts.begin)
        raw = np.frombuffer(file.read(facts.bytes), _TYPES[facts.dtype]).reshape(facts.shape)
    if facts.dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def _bytes(values: Floats, dtype: str) -> bytes:
    """The values in a stored type, rounded to the nearest (ties to even)."""
    if dtype != "BF16":
        return values.astype(_TYPES[dtype]).tobytes()
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def _unmerged(why: str) -> RetortError:
    return Impossible(
        f"This adapter cannot be merged into its model: {why}.",
        "Merge it with peft (merge_and_unload), save the result, and use that folder.",
    )
