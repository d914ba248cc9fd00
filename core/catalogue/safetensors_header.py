"""The header of a safetensors file, read defensively and without the weights.

Format: 8 bytes little-endian length N, N bytes of JSON, then the data (github.com/huggingface/safetensors).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.catalogue.weight_files import weight_files

_HEADER_BYTES = 12_000_000
"""A tensor takes about 130 bytes, so this is 90,000 of them in one file. (The library itself stops at 100 MB.)"""
_ALL_HEADERS_BYTES = 48_000_000
"""Of all files of a model together."""
_DIMENSIONS = 64  # as many as torch has
_LONGEST = 1 << 63
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
    "F4": 4,
}
FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class TensorFacts:
    """Shape and stored type of one tensor, and where its bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path | None = None
    begin: int = 0

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
    return _read(path)[0]


def read_headers(folder: Path) -> dict[str, TensorFacts]:
    """Every tensor of a model folder: of `model.safetensors`, or of the parts its index names.

    Raises:
        RetortError: as `read_header`, a file of the index is missing, or the headers together are too large.
    """
    found: dict[str, TensorFacts] = {}
    read = 0
    for path in weight_files(folder):
        tensors, length = _read(path)
        read += length
        if read > _ALL_HEADERS_BYTES:
            raise RetortError(
                f"The headers of the weights files take more than {_ALL_HEADERS_BYTES // 1_000_000} MB.",
                "Use a model with fewer tensors.",
            )
        found |= tensors
    return found


def _read(path: Path) -> tuple[dict[str, TensorFacts], int]:
    """The tensors of one file and the length of its header."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > size - 8:
                raise ValueError("the header is longer than the file")
            if length > _HEADER_BYTES:
                raise ValueError(f"its header takes more than {_HEADER_BYTES // 1_000_000} MB")
            raw = load(file.read(length), _no_duplicates)
        if not isinstance(raw, dict):
            raise ValueError("the header is no JSON object")
        raw.pop("__metadata__", None)
        spans = [_tensor(name, facts) for name, facts in raw.items()]
        _check_spans([span for _, span in spans], size - 8 - length)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RetortError(
            f"The weights file {one_line(path.name, 80)} is damaged ({reason(error)}).",
            "Download or save the model again.",
        ) from error
    data = 8 + length
    return {f.name: replace(f, file=path, begin=data + span[0]) for f, span in spans}, length


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in the header")
    return found


def _tensor(name: str, facts: Any) -> tuple[TensorFacts, tuple[int, int]]:
    dtype, shape, (begin, end) = facts["dtype"], facts["shape"], facts["data_offsets"]
    shown = one_line(name, 80)
    if dtype not in _BITS:
        raise ValueError(f"'{shown}' has a type that is unknown")
    if not isinstance(shape, list) or len(shape) > _DIMENSIONS:
        raise ValueError(f"'{shown}' has no shape of at most {_DIMENSIONS} sizes")
    if not all(type(n) is int and 0 <= n < _LONGEST for n in [*shape, begin, end]):
        raise ValueError(f"'{shown}' has a shape or place that is no whole number of 63 bits")
    tensor = TensorFacts(name, dtype, tuple(shape))
    if end - begin != tensor.bytes:
        raise ValueError(f"'{shown}' takes {end - begin} bytes where its shape needs {tensor.bytes}")
    return tensor, (begin, end)


def _check_spans(spans: list[tuple[int, int]], available: int) -> None:
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise ValueError("tensors overlap or leave gaps")
        place = end
    if place != available:
        raise ValueError(f"it holds {available} bytes of weights where its header promises {place}")
