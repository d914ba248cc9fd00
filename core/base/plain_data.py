"""Plain data: text, numbers, true and false, nothing, lists, and keys with values; bounded in size and depth."""

from __future__ import annotations

import math
from collections.abc import Mapping

from core.base.errors import RetortError
from core.base.text import is_whole, one_line

Path = tuple[str | int, ...]
DEPTH = 32
VALUES = 10_000
KEY = 200
LARGEST = 2.0**63
"""Below it lies every size, seed and share."""


def dotted(path: Path) -> str:
    """('sweep', 'grid', 0, 'method') as 'sweep.grid[0].method'."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def plain(data: Mapping[str, object], most: int) -> dict[str, object]:
    """A copy of `data` that holds plain data only: mappings as dictionaries, tuples as lists.

    Args:
        most: bytes that its texts and keys may take together, as UTF-8.

    Raises:
        RetortError: it holds something else, or is too large or too deep; the key is named.
    """
    return _Copy(most).mapping(data, ())


class _Copy:
    def __init__(self, most: int) -> None:
        self.most = self.bytes_left = most
        self.values_left = VALUES

    def mapping(self, data: Mapping[str, object], path: Path) -> dict[str, object]:
        self._count(path)
        return {self._key(key, path): self.value(value, (*path, key)) for key, value in data.items()}

    def value(self, value: object, path: Path) -> object:
        if isinstance(value, Mapping):
            return self.mapping(value, path)
        self._count(path)
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, str):
            return self._text(value, path)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            if LARGEST <= abs(value) < math.inf:
                raise _refused(path, "is not a number that can be read")
            return int(value) if isinstance(value, int) else float(value)
        raise _refused(path, f"a value of the type '{type(value).__name__}' is neither text, number, list nor keys")

    def _count(self, path: Path) -> None:
        self.values_left -= 1
        if self.values_left < 0:
            raise _refused(path, f"more than {VALUES:,} values")
        if len(path) > DEPTH:
            raise _refused(path, f"nested more than {DEPTH} levels deep")

    def _key(self, key: object, path: Path) -> str:
        if not isinstance(key, str):
            raise _refused(path, f"the key {one_line(repr(key), 40)} is no text")
        if len(key) > KEY or not is_whole(key):
            raise _refused(path, f"the key '{one_line(key, 40)}' is too long, or no text")
        return self._text(key, path)

    def _text(self, text: str, path: Path) -> str:
        if not is_whole(text):
            raise _refused(path, "holds a lone surrogate, which is half of a character")
        self.bytes_left -= len(text.encode())
        if self.bytes_left < 0:
            raise too_large(self.most)
        return text


def too_large(most: int) -> RetortError:
    return RetortError(f"The recipe is larger than {most // 1000} kB.", "Split it into several recipes.")


def _refused(path: Path, what: str) -> RetortError:
    where = one_line(dotted(path), 300)
    return RetortError(
        f"The recipe cannot be read: {where}{': ' if where else ''}{what}.", "Correct it, then try again."
    )
