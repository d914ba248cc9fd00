"""JSON as everybody reads it: NaN and infinities, which JSON has not, become null."""

from __future__ import annotations

import json
import math
from typing import Any


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
