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
    floor: float | None = None
    """The lowest place of a logarithmic axis of quality: what is not above it, zero among them, is drawn there."""

    @property
    def drawn_y(self) -> float:
        """Where the point lies on the axis of quality."""
        return self.y.value if self.floor is None else max(self.floor, self.y.value)

    @property
    def lowest(self) -> float:
        """The lower end of its interval, as drawn; its place where there is none."""
        return self.drawn_y if self.y.low is None else max(self.y.low, self.floor or self.y.low)

    @property
    def highest(self) -> float:
        """The upper end of its interval, as drawn; its place where there is none."""
        return self.drawn_y if self.y.high is None else max(self.y.high, self.floor or self.y.high)

    @property
    def estimated(self) -> bool:
        return "estimated" in (self.x.obtained, self.y.obtained)

    @property
    def drawable(self) -> bool:
        return math.isfinite(self.x.value) and math.isfinite(self.y.value)
