"""Result files: written so that a power cut loses nothing, read so that a damaged one stops nobody."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from core.outside_files import read_bounded, reason
from core.plain_text import one_line
from core.results import FILE_BYTES, Result

log = logging.getLogger("retort")


def dump(result: Result) -> str:
    """JSON that keeps infinities and NaN (pydantic would write null): a ruined model's perplexity is infinite."""
    return json.dumps(result.model_dump(mode="json"))


def read(path: Path) -> Result | None:
    """A result file; None where it is missing, or not the result of the folder it lies in (which is logged)."""
    try:
        result = Result.model_validate_json(read_bounded(path, FILE_BYTES))
        dump(result)  # numbers of thousands of digits can be read but not written
        if result.key != path.parent.name:
            raise ValueError("it belongs to another candidate")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, OverflowError, RecursionError) as error:  # pydantic's errors are ValueErrors
        log.warning("left out %s: %s", one_line(str(path), 300), reason(error))
        return None
    return result


def write(path: Path, text: str) -> None:
    """Temporary name, fsync, rename, fsync of the folder: after it returns, a power cut loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
