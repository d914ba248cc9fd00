"""The header of a safetensors file, read by the library within bounds of our own, and without the weights.

Format: 8 bytes little-endian length N, N bytes of JSON, then the data (github.com/huggingface/safetensors). The library
checks names, types, shapes and places against each other and against the length of the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.panics import is_panic
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
        length = _bounded(path)
        return {f.name: f for f in _tensors(path, 8 + length)}, length
    except BaseException as error:
        if not (isinstance(error, OSError | ValueError | SafetensorError) or is_panic(error)):
            raise
        raise RetortError(
            f"The weights file {one_line(path.name, 80)} is damaged ({reason(error)}).",
            "Download or save the model again.",
        ) from error


def _bounded(path: Path) -> int:
    """The length of a header that is short enough to be read. Raises OSError, ValueError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length: int = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise ValueError("the header is longer than the file")
        if length > _HEADER_BYTES:
            raise ValueError(f"its header takes more than {_HEADER_BYTES // 1_000_000} MB")
        load(file.read(length), _no_duplicates)
    return length


def _no_duplicates(pairs: list[tuple[str, object]]) -> None:
    """Of two tensors of one name the library takes the last without a word, and other readers the first."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name appears twice in the header")


def _tensors(path: Path, begin: int) -> Iterator[TensorFacts]:
    """The tensors of a file whose data starts at byte `begin`, in the order of their places.

    The library tells no places. It refuses gaps and overlaps, so that each tensor starts where the one before ends.
    """
    with safe_open(path, framework="np") as file:  # "np": importing torch would slow the server down
        for name in file.offset_keys():
            stored = file.get_slice(name)
            tensor = TensorFacts(name, stored.get_dtype(), tuple(stored.get_shape()), path, begin)
            _refuse_odd(tensor)
            yield tensor
            begin += tensor.bytes


def _refuse_odd(tensor: TensorFacts) -> None:
    """Refuses what the format allows and torch cannot hold. Raises ValueError."""
    shown = one_line(tensor.name, 80)
    if tensor.dtype not in _BITS:
        raise ValueError(f"'{shown}' has a type that is unknown")
    if len(tensor.shape) > _DIMENSIONS or any(n >= _LONGEST for n in tensor.shape):
        raise ValueError(f"'{shown}' has no shape of at most {_DIMENSIONS} sizes of 63 bits")
