"""Where a search keeps what it makes, what it knows of times, and how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.engine.prune.targets import Plan


@dataclass
class SearchWork:
    """Of one search.

    Attributes:
        levels: folder of the healed parts, of one model and one calibration text.
        record: file of the judgements, of the same search alone; None keeps none.
        times: expected milliseconds a token of a plan on this machine; None where the budget asks for none.
        found: facts on how the search went, once it is done.
    """

    levels: Path
    record: Path | None = None
    times: Callable[[Plan], float] | None = None
    found: dict[str, Any] = field(default_factory=dict)
