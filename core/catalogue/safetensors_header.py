"""The header of a safetensors file, read defensively and without the weights.

Format: 8 bytes little-endian length N, N bytes of JSON, then the data (github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalogue.checks import read_json
from core.errors import RetortError

_HEADER_LIMIT = 100_000_000
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4,
}  # fmt: skip
FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class TensorFacts:
    """Shape and stored type of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.count * _BITS[self.dtype] // 8


def read_header(path: Path) -> dict[str, TensorFacts]:
    """Every tensor of one file.

    Raises:
        RetortError: the file is cut short, or its header is not what the format allows (length, JSON,
            duplicate names, types, shapes, offsets out of range, overlapping or leaving gaps).
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > min(size - 8, _HEADER_LIMIT):
                raise ValueError("the header is longer than the file")
            raw = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_no_duplicates)
        if not isinstance(raw, dict):
            raise ValueError("the header is no JSON object")
        raw.pop("__metadata__", None)
        spans = [_tensor(name, facts) for name, facts in raw.items()]
        _check_spans([span for _, span in spans], size - 8 - length)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RetortError(
            f"The weights file {path.name} is damaged ({error}).", "Download or save the model again."
        ) from error
    return {facts.name: facts for facts, _ in spans}


def read_headers(folder: Path) -> dict[str, TensorFacts]:
    """Every tensor of a model folder: the shards its index names, or `model.safetensors`, or all files."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        placed = read_json(index).get("weight_map", {})
        names = sorted({str(name) for name in placed.values()}) if isinstance(placed, dict) else []
        files = [folder / name for name in names if Path(name).name == name]
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    else:
        files = sorted(folder.glob("*.safetensors"))
    found: dict[str, TensorFacts] = {}
    for path in files:
        if not path.is_file():
            raise RetortError(f"The weights file {path.name} is missing.", "Download or save the model again.")
        found |= read_header(path)
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in the header")
    return found


def _tensor(name: str, facts: Any) -> tuple[TensorFacts, tuple[int, int]]:
    dtype, shape, (begin, end) = facts["dtype"], facts["shape"], facts["data_offsets"]
    if dtype not in _BITS:
        raise ValueError(f"'{name}' has the unknown type {dtype!r}")
    if not all(type(n) is int and n >= 0 for n in [*shape, begin, end]):
        raise ValueError(f"'{name}' has a shape or place that is no whole number")
    tensor = TensorFacts(name, dtype, tuple(shape))
    if end - begin != tensor.bytes:
        raise ValueError(f"'{name}' takes {end - begin} bytes where its shape needs {tensor.bytes}")
    return tensor, (begin, end)


def _check_spans(spans: list[tuple[int, int]], available: int) -> None:
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise ValueError("tensors overlap or leave gaps")
        place = end
    if place != available:
        raise ValueError(f"it holds {available} bytes of weights where its header promises {place}")
