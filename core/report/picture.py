"""A chart as lines, areas and words in a plane: what the web page draws as SVG and the PDF as vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Place = tuple[float, float]
"""Right and down from the upper left corner."""
Anchor = Literal["start", "middle", "end"]
_LETTER = 0.57  # of the size of the letters: how wide one is on average


@dataclass(frozen=True)
class Line:
    """A line through places."""

    places: tuple[Place, ...]
    color: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """A closed outline; without a fill or without an edge."""

    places: tuple[Place, ...]
    fill: str | None
    edge: str | None = None
    width: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True)
class Word:
    """Plain text of one line, whose base line begins, is centred or ends at a place."""

    x: float
    y: float
    text: str
    color: str
    size: float = 14.0
    anchor: Anchor = "start"
    bold: bool = False
    upright: bool = False
    """Read from below."""
    part: str = ""
    """What it is in the chart, such as 'x-title'."""


@dataclass(frozen=True)
class Mark:
    """What stands for one measured thing, with its numbers and what is said of it where the reader points."""

    parts: tuple[Line | Area | Word, ...]
    said: str
    data: tuple[tuple[str, str], ...] = ()
    """Names and values: 'key', 'x' and 'y' of a point, 'name' and 'share' of a bar."""


@dataclass
class Picture:
    """A drawing with what it is called and what it shows, in words."""

    width: float
    height: float
    title: str
    told: str
    parts: list[Line | Area | Word | Mark] = field(default_factory=list)


def room(text: str, size: float) -> float:
    """About how wide a text is."""
    return _LETTER * size * len(text)


def outline(symbol: str, x: float, y: float, size: float) -> tuple[Place, ...]:
    """The outline of a mark, as wide as plotly draws the symbol of that name; a circle where there is no such one."""
    r = size / 2.0
    shape = symbol.removesuffix("-dot").removesuffix("-open")
    return tuple((x + r * a, y - r * b) for a, b in _SHAPES.get(shape) or _ring(24, 1.0))


def _ring(corners: int, radius: float, turned: float = 0.0) -> tuple[Place, ...]:
    """Corners on a circle, the first one at the top."""
    step = 2.0 * math.pi / corners
    return tuple((radius * math.sin(step * i + turned), radius * math.cos(step * i + turned)) for i in range(corners))


def _star(points: int, inner: float) -> tuple[Place, ...]:
    outer, between = _ring(points, 1.25), _ring(points, inner, math.pi / points)
    return tuple(place for pair in zip(outer, between, strict=True) for place in pair)


_CROSS = ((0.35, 1.05), (0.35, 0.35), (1.05, 0.35), (1.05, -0.35), (0.35, -0.35), (0.35, -1.05))
_PLUS = (*_CROSS, *((-a, -b) for a, b in _CROSS))
_SHAPES: dict[str, tuple[Place, ...]] = {
    "square": ((-0.9, 0.9), (0.9, 0.9), (0.9, -0.9), (-0.9, -0.9)),
    "triangle-up": ((0.0, 1.1), (1.1, -0.75), (-1.1, -0.75)),
    "triangle-down": ((0.0, -1.1), (-1.1, 0.75), (1.1, 0.75)),
    "triangle-left": ((-1.1, 0.0), (0.75, 1.1), (0.75, -1.1)),
    "triangle-right": ((1.1, 0.0), (-0.75, 1.1), (-0.75, -1.1)),
    "triangle-ne": ((1.0, 1.0), (-1.0, 1.0), (1.0, -1.0)),
    "triangle-sw": ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)),
    "triangle-nw": ((-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0)),
    "triangle-se": ((1.0, -1.0), (1.0, 1.0), (-1.0, -1.0)),
    "hash": _star(8, 0.8),
    "arrow-down": ((0.0, -1.1), (-0.7, 0.9), (0.7, 0.9)),
    "diamond": ((0.0, 1.25), (1.25, 0.0), (0.0, -1.25), (-1.25, 0.0)),
    "diamond-tall": ((0.0, 1.4), (0.75, 0.0), (0.0, -1.4), (-0.75, 0.0)),
    "diamond-wide": ((0.0, 0.75), (1.4, 0.0), (0.0, -0.75), (-1.4, 0.0)),
    "cross": _PLUS,
    "x": tuple(((a - b) * 0.75, (a + b) * 0.75) for a, b in _PLUS),
    "pentagon": _ring(5, 1.1),
    "hexagon": _ring(6, 1.1),
    "hexagon2": _ring(6, 1.1, math.pi / 6),
    "octagon": _ring(8, 1.08, math.pi / 8),
    "star": _star(5, 0.5),
    "hexagram": _star(6, 0.72),
    "star-square": _star(4, 0.6),
    "star-diamond": _star(4, 0.8),
    "star-triangle-up": _star(3, 0.6),
    "star-triangle-down": tuple((a, -b) for a, b in _star(3, 0.6)),
    "line-ne": ((-0.8, -0.8), (0.8, 0.8)),
}
