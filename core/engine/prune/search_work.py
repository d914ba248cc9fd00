"""Where a search keeps what it makes, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class SearchWork:
    """Of one search.

    Attributes:
        levels: folder of the healed parts, of one model and one calibration text.
        record: file of the judgements, of the same search alone; None keeps none.
        found: facts on how the search went, once it is done.
    """

    levels: Path
    record: Path | None = None
    found: dict[str, Any] = field(default_factory=dict)
