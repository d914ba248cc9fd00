"""A candidate as a point of the trade-off chart."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.registry.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate on the chart. `tied`: not on the front, but not beyond the error of it either."""

    key: str
    label: str
    method: str
    baseline: bool
    x: Measurement
    y: Measurement
    front: bool = False
    tied: bool = False
    parent: str | None = None
    """Key of the candidate this one was made from."""

    @property
    def estimated(self) -> bool:
        return "estimated" in (self.x.obtained, self.y.obtained)

    @property
    def drawable(self) -> bool:
        return math.isfinite(self.x.value) and math.isfinite(self.y.value)
