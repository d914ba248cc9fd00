"""JSON as everybody reads it, and JSON that others wrote.

NaN and infinities, which JSON cannot express, become null.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""The escape of a surrogate. A pair in the right order is one character; one alone is none."""


def load(raw: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """JSON from outside as plain data. `pairs` makes an object of its names and values, as for `json.loads`.

    Raises:
        ValueError: no UTF-8, no JSON, nested too deep, a number of thousands of digits (Python's limit), or text
            with a lone surrogate.
    """
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs)
        if _HALF.search(raw):
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds a lone surrogate, which is half of a character") from error
    return found


def dump(document: Any) -> str:
    """The document, indented, without a line end."""
    return json.dumps(_finite(document), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
