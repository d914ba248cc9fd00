"""Result files: written so that a power cut loses nothing, read so that a damaged one stops nobody."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from core.base.integrity import damage
from core.base.text import one_line
from core.base.untrusted_files import read_bounded, reason
from core.recipe.results import FILE_BYTES, Result

log = logging.getLogger("retort")


def dump(result: Result) -> str:
    """JSON that keeps infinities and NaN (pydantic would write null): a ruined model's perplexity is infinite."""
    return json.dumps(result.model_dump(mode="json"))


def written(path: Path) -> float:
    """When the file was written; 0 where it has just vanished."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def read(path: Path) -> Result | None:
    """A result file; None where it is missing or damaged, or not the result of its folder (which is logged)."""
    try:
        wrong = damage(path) if path.exists() else None
        if wrong is not None:
            raise ValueError(wrong)
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
