"""The trade-off chart of the pages as a picture: the same marks, lines and words, without a script."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from core.figures.theme import Theme
from core.registry.formatting import COUNTS, show_bytes, show_count, significant
from core.registry.metrics import metric
from core.report.picture import Area, Line, Mark, Picture, Place, Word, outline, room

_HIDDEN = "rgba(0,0,0,0)"
_DASHES = {"dot": (2.0, 4.0), "dash": (8.0, 5.0)}
_ROW = 24.0  # of the legend


@dataclass(frozen=True)
class Axis:
    """Where a value lies: `start` and `end` in the picture, `low` and `high` in the axis' own numbers."""

    start: float
    end: float
    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """The place of a value."""
        return self.along(math.log10(value)) if self.log and value > 0 else self.along(value)

    def along(self, own: float) -> float:
        """The place of a number of the axis itself: on a logarithmic one a power of ten."""
        return self.start + (own - self.low) / (self.high - self.low) * (self.end - self.start)


def draw(figure: go.Figure, axes: tuple[str, str], size: Place, ground: Theme, title: str, told: str) -> Picture:
    """The figure (of `core.figures.tradeoff`) as a picture of this width and height; `axes`: metrics of x and y."""
    spec = figure.to_plotly_json()
    traces = [t for t in spec["data"] if t["type"] == "scatter"]
    layout, (width, height) = spec["layout"], size
    picture = Picture(width, height, title, told)
    narrow = width < 600
    letters = 13.0 if narrow else 14.0
    top = _legend(picture, traces, letters, ground)
    for name in "xy":
        layout[f"{name}axis"].setdefault("range", [-1.0, 1.0])  # of zeros alone
    ticks = [_ticks(layout[f"{a}axis"], m) for a, m in zip("xy", axes, strict=True)]
    left = 34.0 + max(room(text, letters) for _, text in ticks[1])
    bottom = height - 64.0 - (18.0 if "<br>" in layout["xaxis"]["title"]["text"] else 0.0)
    x = _axis(layout["xaxis"], left, width - 20.0)
    y = _axis(layout["yaxis"], bottom, top + 8.0)
    _frame(picture, layout, x, y, ticks, letters, ground)
    for shape in layout.get("shapes", ()):
        _shape(picture, shape, x, y)
    for trace in traces:
        if "lines" in trace.get("mode", ""):
            _line(picture, trace, x, y)
    for note in layout.get("annotations", ()):
        _note(picture, note, x, y)
    for trace in traces:
        if "markers" in trace.get("mode", ""):
            _marks(picture, trace, x, y, narrow)
    return picture


def _axis(spec: dict[str, Any], start: float, end: float) -> Axis:
    low, high = spec["range"]
    return Axis(start, end, float(low), float(high), spec.get("type") == "log")


def _legend(picture: Picture, traces: list[dict[str, Any]], size: float, ground: Theme) -> float:
    """Names of what is drawn, in rows from the top; the height they take."""
    left, row = 8.0, 16.0
    for trace in traces:
        if trace.get("showlegend", True) is False or not trace.get("name"):
            continue
        name = html.unescape(trace["name"])
        takes = 42.0 + room(name, size)
        if left > 8.0 and left + takes > picture.width:
            left, row = 8.0, row + _ROW
        if "markers" in trace["mode"]:
            marker = {**trace["marker"], "size": 12, "symbol": _first(trace["marker"]["symbol"])}
            picture.parts += _symbol(marker, left + 8.0, row, 0)
        else:
            line = trace["line"]
            picture.parts.append(Line(((left, row), (left + 18.0, row)), line["color"], line["width"]))
        picture.parts.append(Word(left + 22.0, row + size / 3.0, name, ground.ink, size, part="legend"))
        left += takes
    return row + 16.0


def _ticks(axis: dict[str, Any], metric_id: str) -> list[tuple[float, str]]:
    """Values of an axis and what is written beside each."""
    low, high = axis["range"]
    write = _writer(metric_id)
    if "ticktext" in axis:
        return list(zip(axis["tickvals"], axis["ticktext"], strict=True))
    if "tickvals" in axis:
        return [(v, write(v)) for v in axis["tickvals"]]
    power = 10.0 ** math.floor(math.log10((high - low) / 5.0))
    step = next(power * d for d in (1, 2, 5, 10) if power * d >= (high - low) / 5.0)
    return [(step * n, write(step * n)) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _writer(metric_id: str) -> Callable[[float], str]:
    if metric(metric_id).unit == "B":
        return lambda v: show_bytes(v).replace(".0 ", " ")
    if metric_id in COUNTS:
        return lambda v: show_count(v).replace(".0 ", " ")
    return lambda v: significant(round(v, 10), 4)


def _frame(
    picture: Picture,
    layout: dict[str, Any],
    x: Axis,
    y: Axis,
    ticks: list[list[tuple[float, str]]],
    size: float,
    ground: Theme,
) -> None:
    """Grid, numbers and titles."""
    last = -math.inf
    for value, text in ticks[0]:
        at = x.at(value)
        picture.parts.append(Line(((at, y.start), (at, y.end)), ground.grid))
        if at - room(text, size) / 2 > last + 6:  # numbers that would touch are left out
            picture.parts.append(Word(at, y.start + 20.0, text, ground.muted, size, "middle"))
            last = at + room(text, size) / 2
    for value, text in ticks[1]:
        at = y.at(value)
        picture.parts.append(Line(((x.start, at), (x.end, at)), ground.grid))
        picture.parts.append(Word(x.start - 8.0, at + size / 3.0, text, ground.muted, size, "end"))
    title, _, below = layout["xaxis"]["title"]["text"].partition("<br>")
    middle = (x.start + x.end) / 2
    picture.parts.append(Word(middle, y.start + 46.0, title, ground.ink, size, "middle", part="x-title"))
    if below:
        words = re.sub("<[^>]*>", "", below)
        picture.parts.append(Word(middle, y.start + 64.0, words, ground.muted, size - 2.0, "middle"))
    words = layout["yaxis"]["title"]["text"].partition("<br>")[0]
    middle = (y.start + y.end) / 2
    picture.parts.append(Word(size, middle, words, ground.ink, size, "middle", upright=True, part="y-title"))


def _shape(picture: Picture, shape: dict[str, Any], x: Axis, y: Axis) -> None:
    """A line or an area across the chart."""
    (left, right), (low, high) = (
        (axis.at(shape[f"{name}0"]), axis.at(shape[f"{name}1"]))
        if shape[f"{name}ref"] == name
        else (axis.start, axis.end)
        for name, axis in (("x", x), ("y", y))
    )
    line = shape.get("line", {})
    if shape["type"] == "line":
        dash = _DASHES.get(line.get("dash", ""), ())
        found = Line(((left, low), (right, high)), line["color"], line["width"], dash, shape.get("opacity", 1.0))
        picture.parts.append(found)
    else:
        places = ((left, low), (right, low), (right, high), (left, high))
        picture.parts.append(Area(places, shape["fillcolor"], opacity=shape.get("opacity", 1.0)))


def _line(picture: Picture, trace: dict[str, Any], x: Axis, y: Axis) -> None:
    places = [(x.at(a), y.at(b)) for a, b in zip(trace["x"], trace["y"], strict=True)]
    if trace.get("fill") == "toself":
        picture.parts.append(Area(tuple(places), trace["fillcolor"], opacity=trace.get("opacity", 1.0)))
        return
    shape, steps = trace["line"].get("shape"), places[:1]
    for (a, b), (c, d) in zip(places, places[1:], strict=False):
        steps += [(c, b)] if shape == "hv" else [(a, d)] if shape == "vh" else []
        steps.append((c, d))
    picture.parts.append(Line(tuple(steps), trace["line"]["color"], trace["line"]["width"]))


def _note(picture: Picture, note: dict[str, Any], x: Axis, y: Axis) -> None:
    """An arrow, or a word."""
    end = (x.along(note["x"]), y.along(note["y"]))
    if not note["showarrow"]:
        font = note["font"]
        picture.parts.append(Word(end[0], end[1] + 20.0, note["text"], font["color"], font["size"], "middle"))
        return
    start = (x.along(note["ax"]), y.along(note["ay"]))
    length = math.dist(start, end)
    if length < 2.0:
        return
    a, b = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tip, tail = (end[0] - 9 * a, end[1] - 9 * b), (start[0] + 9 * a, start[1] + 9 * b)
    color = note["arrowcolor"]
    head = (tip, (tip[0] - 9 * a - 4 * b, tip[1] - 9 * b + 4 * a), (tip[0] - 9 * a + 4 * b, tip[1] - 9 * b - 4 * a))
    picture.parts += [Line((tail, tip), color, note["arrowwidth"], (), note["opacity"]), Area(head, color)]


def _marks(picture: Picture, trace: dict[str, Any], x: Axis, y: Axis, narrow: bool) -> None:
    """The points of a trace, with their errors and letters."""
    told = trace.get("hovertext")
    for i, (a, b) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if a is None:
            continue
        at = x.at(a), y.at(b)
        parts: list[Line | Area | Word] = [*_errors(trace, i, a, b, x, y), *_symbol(trace["marker"], *at, i)]
        if text := (trace.get("text") or [""] * (i + 1))[i]:
            parts.append(_beside(text, trace, at, narrow))
        if told:
            data = (("key", trace["customdata"][i]), ("x", repr(float(a))), ("y", repr(float(b))))
            picture.parts.append(Mark(tuple(parts), said_of(told[i]), data))
        else:
            picture.parts += parts


def said_of(hover: str) -> str:
    """What plotly shows on hover, as plain lines."""
    return html.unescape(re.sub("</?b>", "", hover.replace("<br>", "\n")))


def _symbol(marker: dict[str, Any], x: float, y: float, at: int) -> Iterator[Line | Area]:
    symbol, line = str(_first(marker["symbol"], at)), marker.get("line", {})
    edge = _first(line.get("color", marker["color"]), at)
    width, color = line.get("width", 1.0), marker["color"]
    places = outline(symbol, x, y, marker["size"])
    if symbol.startswith("line"):
        yield Line(places, color, width)
        return
    hollow = "-open" in symbol or color == _HIDDEN
    yield Area(places, None if hollow else color, color if hollow else edge, width)
    if symbol.endswith("-dot"):
        yield Area(outline("circle", x, y, 5.0), color if hollow else "#FFFFFF", None if hollow else "#000000", 0.5)


def _errors(trace: dict[str, Any], at: int, a: float, b: float, x: Axis, y: Axis) -> Iterator[Line]:
    for name in ("error_x", "error_y"):
        bars = trace.get(name)
        if bars and (bars["array"][at] or bars["arrayminus"][at]):
            up, down = bars["array"][at], bars["arrayminus"][at]
            if name == "error_x":
                ends = ((x.at(a - down), y.at(b)), (x.at(a + up), y.at(b)))
            else:
                ends = ((x.at(a), y.at(b - down)), (x.at(a), y.at(b + up)))
            yield Line(ends, bars["color"], bars["thickness"])


def _beside(text: str, trace: dict[str, Any], at: Place, narrow: bool) -> Word:
    """A word beside a mark, on the side that the trace names."""
    font, (across, side) = trace["textfont"], trace["textposition"].split(" ")
    away = trace["marker"]["size"] / 2.0 + 4.0
    size = float(font["size"]) - (1.0 if narrow else 0.0)
    down = away + size * 0.6 if across == "bottom" else -away + size * 0.3
    left = side == "left"
    place = at[0] + (-away if left else away) * 0.8
    return Word(place, at[1] + down, text, font["color"], size, "end" if left else "start", "weight" in font)


def _first(value: Any, at: int = 0) -> Any:
    return value[at] if isinstance(value, list | tuple) else value
