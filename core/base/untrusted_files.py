"""Files from outside: read up to a limit, and whatever the file system says becomes one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.base.errors import RetortError
from core.base.text import one_line


def read_bounded(path: Path, most: int) -> bytes:
    """An ordinary file of at most `most` bytes.

    Raises:
        OSError: it cannot be read, or its name is none the file system has (too long).
        ValueError: it is larger, or a pipe or device, which might never end; or its name holds a NUL.
    """
    if not path.is_file():
        raise FileNotFoundError("no such file") if not os.path.lexists(path) else ValueError("it is no ordinary file")
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it is larger than {most // 1_000_000} MB")
    return raw


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a few words."""
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "there is no such user here"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(said, 200).rstrip(".") or type(error).__name__


@contextmanager
def readable(what: str | Path) -> Iterator[None]:
    """Raises RetortError in place of what reading a hostile or damaged folder can raise.

    OSError: names too long, no permission, a file that vanished; RuntimeError: links in a circle and nesting without
    end; ValueError: NULs, numbers of thousands of digits.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise RetortError(
            f"'{one_line(str(what), 200)}' cannot be read ({reason(error)}).", "Download or save it again."
        ) from error
