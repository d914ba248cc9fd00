"""Files as bytes or text, unpacked where they are compressed, and bounded: a small file may unpack to any size."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from core.catalogue.data_files import MOST_BYTES, form_of
from core.registry.formatting import show_bytes

_LEAST, _TIMES = 64_000_000, 200
"""A packed file may unpack to so many bytes, or to so many times its size, whatever is more."""
_CHUNK = 1 << 20
BOM = b"\xef\xbb\xbf"


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more bytes than it may. Raises ValueError beyond."""

    def __init__(self, inner: BinaryIO | pa.NativeFile, most: int) -> None:
        super().__init__()
        self._inner, self._most, self._left = inner, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        raw = self._inner.read(min(len(view), _CHUNK))
        self._left -= len(raw)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {show_bytes(self._most)}")
        view[: len(raw)] = raw
        return len(raw)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked.

    Raises:
        OSError, ValueError, EOFError, lzma.LZMAError: it cannot be read, is damaged, or unpacks to very much.
    """
    packed = form_of(path)[1]
    if not path.is_file():
        raise ValueError("it is no ordinary file")
    most = min(MOST_BYTES, max(_LEAST, _TIMES * path.stat().st_size)) if packed else MOST_BYTES
    with _unpacked(path, packed) as inner, io.BufferedReader(_Bounded(inner, most), _CHUNK) as file:
        yield file


@contextmanager
def _unpacked(path: Path, packed: str) -> Iterator[BinaryIO | pa.NativeFile]:
    with path.open("rb") as file:
        if packed == "gz":
            with gzip.GzipFile(fileobj=file) as inner:
                yield inner
        elif packed == "bz2":
            with bz2.BZ2File(file) as inner:
                yield inner
        elif packed == "xz":
            with lzma.LZMAFile(file) as inner:
                yield inner
        elif packed == "zst":
            with pa.CompressedInputStream(file, "zstd") as inner:
                yield inner
        else:
            yield file


def text_of(path: Path) -> str:
    """The whole file as text. Raises as `opened`, and UnicodeDecodeError with the line in its words."""
    with opened(path) as file:
        return decoded(file.read())


def decoded(raw: bytes) -> str:
    """UTF-8 as text, without a byte-order mark. Raises ValueError that names the line."""
    try:
        return raw.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8 text") from error
