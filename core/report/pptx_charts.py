"""Native charts of the slides: their numbers, units, errors and labels are those of every other form."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_LEGEND_POSITION, XL_MARKER_STYLE
from pptx.oxml import parse_xml
from pptx.util import Inches, Pt

from core.analysis.paired_times import relative_to
from core.analysis.promised_vs_measured import Share
from core.figures.axes import axis as page_axis
from core.figures.axes import floor_of, words
from core.figures.point import Point
from core.figures.theme import OKABE_ITO, method_style
from core.figures.tradeoff import CHANGES
from core.registry.formatting import scaled
from core.registry.measurement import Measurement
from core.registry.metrics import metric
from core.report import charts
from core.report.model import Report
from core.report.pptx_master import FONT
from core.report.text import plain

_SHAPES = {
    "circle": XL_MARKER_STYLE.CIRCLE,
    "square": XL_MARKER_STYLE.SQUARE,
    "diamond": XL_MARKER_STYLE.DIAMOND,
    "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "x": XL_MARKER_STYLE.X,
    "cross": XL_MARKER_STYLE.PLUS,
}
"""Of the shapes of the page those that PowerPoint has; others are left to it."""
_CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
Box = tuple[float, float, float, float]
"""Left, top, width and height in inches."""


def scatter(slide: Any, report: Report, points: Sequence[Point], box: Box) -> None:
    """Quality against cost: a series a method, one for each chosen candidate and one for the original, with errors.

    The axes are those of the page, a logarithmic one among them; where it has no place for the original's zero, the
    original stands at its lower end.
    """
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    size, unit = scaled(x.id, max(p.x.value for p in points))
    floor = floor_of([p.y for p in points]) if y.id in CHANGES else None
    log = y.better == "lower" and (floor is not None or all(p.y.value > 0 for p in points))
    base = 10 if not log or _spread(points) > 100.0 else 2
    if floor is not None:
        floor = float(base) ** math.floor(math.log(floor, base))  # PowerPoint's axis begins at a power of its base
    drawn = [replace(p, floor=floor) for p in points] if log else list(points)
    groups = _groups(drawn, report)
    data = XyChartData()
    for name, members in groups:
        series = data.add_series(plain(name, 60))
        for p in members:
            series.add_data_point(p.x.value / size, p.drawn_y)
    chart = slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *map(Inches, box), data).chart
    chart.has_legend, chart.has_title = True, False
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.font.size, chart.font.name = Pt(13), FONT
    below = f", {told}" if (told := relative_to([p.x for p in points])) else ""
    edge = "; the original at the lower edge" if floor is not None else ""
    titles = (charts.worded(report, words(x.id, unit)) + below, charts.worded(report, words(y.id, y.unit)) + edge)
    for axis, title in zip((chart.category_axis, chart.value_axis), titles, strict=True):
        axis.has_title = True
        axis.axis_title.text_frame.text = title
        axis.axis_title.text_frame.paragraphs[0].font.size = Pt(13)
        axis.major_gridlines.format.line.color.rgb = RGBColor(0xDF, 0xE5, 0xEA)
        axis.format.line.color.rgb = RGBColor(0x8A, 0x95, 0xA0)
    _linear(chart.category_axis, page_axis([p.x for p in points], False), size)
    if log:
        _logarithmic(chart.value_axis, [(p.lowest, p.highest) for p in drawn], base)
    else:
        _linear(chart.value_axis, page_axis([p.y for p in points], False), 1.0)
    for axis in (chart.category_axis, chart.value_axis):
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "General", False
    for series, (_, members) in zip(chart.plots[0].series, groups, strict=True):
        first = members[0]
        series.format.line.fill.background()
        series.marker.style = XL_MARKER_STYLE.STAR if first.baseline else _SHAPES.get(method_style(first.method).symbol)
        series.marker.size = 16 if first.baseline else 13 if first.key in report.letters else 8
        series.marker.format.fill.solid()
        series.marker.format.fill.fore_color.rgb = color(first.method)
        series.marker.format.line.color.rgb = color(first.method)
        _errors(series, "y", [_as_drawn(p) for p in members], 1.0)
        _errors(series, "x", [p.x for p in members], size)


def _as_drawn(p: Point) -> Measurement:
    """The quality with its interval as it stands on the chart."""
    ends = {"low": p.lowest, "high": p.highest} if p.y.low is not None and p.y.high is not None else {}
    return p.y.model_copy(update={"value": p.drawn_y, **ends})


def _groups(points: Sequence[Point], report: Report) -> list[tuple[str, list[Point]]]:
    letters, dense = report.letters, [p for p in points if p.baseline]
    others = [p for p in points if p.key not in letters and not p.baseline]
    if report.audience == "executives":
        found = [("Other variants", others)] if others else []
    else:
        methods = dict.fromkeys(p.method for p in others)
        found = [(method_style(m).label, [p for p in others if p.method == m]) for m in methods]
    chosen = [(f"{letters[p.key]}. {plain(p.label, 40)}", [p]) for p in points if p.key in letters]
    original = "The original" if report.audience == "executives" else "Dense baseline"
    return [*found, *chosen, *([(original, dense)] if dense else [])]


def _spread(points: Sequence[Point]) -> float:
    """The largest over the smallest quality above zero."""
    above = [p.y.value for p in points if p.y.value > 0]
    return max(above) / min(above) if above else 1.0


def _linear(axis: Any, page: dict[str, Any], size: float) -> None:
    """From and to round numbers around the range of the page."""
    if "range" in page:
        low, high = (end / size for end in page["range"])
        power = 10.0 ** math.floor(math.log10((high - low) / 5.0))
        step = next(power * d for d in (1, 2, 5, 10) if power * d >= (high - low) / 5.0)
        axis.minimum_scale, axis.maximum_scale = step * math.floor(low / step), step * math.ceil(high / step)
        axis.major_unit = step


def bars(slide: Any, found: Sequence[Share], method_id: str, box: Box) -> None:
    """Costs as shares of the original's; the label of each bar is what the other forms write beside it."""
    data = CategoryChartData(number_format='0" %"')
    data.categories = [plain(s.label, 60) for s in found]
    data.add_series("Share of the dense baseline", [100 * s.value for s in found])
    chart = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *map(Inches, box), data).chart
    chart.has_legend, chart.has_title = False, True
    chart.chart_title.text_frame.text = "Share of the dense baseline"
    chart.chart_title.text_frame.paragraphs[0].font.size = Pt(14)
    chart.font.size = Pt(12)
    chart.category_axis.reverse_order = True
    chart.value_axis.minimum_scale, chart.value_axis.visible = 0, False
    longest = max(len(s.said) for s in found)  # labels stand behind the bars: without room they are cut off
    chart.value_axis.maximum_scale = max(100.0, *(100 * s.value for s in found)) * (1.1 + 0.045 * longest)
    chart.value_axis.has_major_gridlines = False
    plot = chart.plots[0]
    plot.gap_width = 50
    (series,) = plot.series
    series.format.fill.solid()
    series.format.fill.fore_color.rgb = color(method_id)
    labels = series.data_labels
    labels.show_value, labels.position = True, XL_LABEL_POSITION.OUTSIDE_END
    labels.number_format, labels.number_format_is_linked = '0" %"', False
    for i, share in enumerate(found):
        _label(series.points[i], share)


def rule(cell: Any) -> None:
    """A thin line under a cell of a table."""
    line = Element(f"{{{_DRAWING}}}lnB", w="9525")
    SubElement(SubElement(line, f"{{{_DRAWING}}}solidFill"), f"{{{_DRAWING}}}srgbClr", val="C5CED6")
    cell._tc.get_or_add_tcPr().insert(0, parse_xml(tostring(line)))


def color(method_id: str) -> RGBColor:
    """The colour of a method in every chart."""
    digits = OKABE_ITO[method_style(method_id).color % len(OKABE_ITO)][1:]
    return RGBColor(*bytes.fromhex(digits))


def _label(point: Any, share: Share) -> None:
    """A format of its own for this bar: the number as elsewhere, and what stands behind it there."""
    point.data_label.position = XL_LABEL_POSITION.OUTSIDE_END
    words = share.said.removeprefix(share.percent.removesuffix(" %"))
    code = f'0{"." if share.decimals else ""}{"0" * share.decimals}"{words}"'
    label = point.data_label._get_or_add_dLbl()
    number_format = Element(f"{{{_CHART}}}numFmt", formatCode=code, sourceLinked="0")
    label.find(f"{{{_CHART}}}idx").addnext(parse_xml(tostring(number_format)))  # before its look (CT_DLbl)


def _logarithmic(axis: Any, ends: Sequence[tuple[float, float]], base: int) -> None:
    """From and to powers of the base around what is drawn."""
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    axis.minimum_scale = float(base) ** math.floor(math.log(low, base) + 1e-9)
    axis.maximum_scale = float(base) ** math.ceil(math.log(high, base) - 1e-9)
    axis.major_unit = float(base)
    scaling = axis._element.find(f"{{{_CHART}}}scaling")
    scaling.insert(0, parse_xml(tostring(Element(f"{{{_CHART}}}logBase", val=str(base)))))


def _errors(series: Any, axis: str, values: Sequence[Measurement], size: float) -> None:
    """Bars from the lower to the upper bound of each point; none where no point of the series has bounds."""
    down, up = (
        [_gap(a, b) / size for a, b in ends]
        for ends in (
            [(m.value, m.low) for m in values],
            [(m.high, m.value) for m in values],
        )
    )
    if not any(down) and not any(up):
        return
    found = Element(f"{{{_CHART}}}errBars")
    for name, value in (("errDir", axis), ("errBarType", "both"), ("errValType", "cust"), ("noEndCap", "0")):
        SubElement(found, f"{{{_CHART}}}{name}", val=value)
    for name, gaps in (("plus", up), ("minus", down)):
        numbers = SubElement(SubElement(found, f"{{{_CHART}}}{name}"), f"{{{_CHART}}}numLit")
        SubElement(numbers, f"{{{_CHART}}}formatCode").text = "General"
        SubElement(numbers, f"{{{_CHART}}}ptCount", val=str(len(gaps)))
        for i, gap in enumerate(gaps):
            point = SubElement(numbers, f"{{{_CHART}}}pt", idx=str(i))
            SubElement(point, f"{{{_CHART}}}v").text = repr(gap)
    line = SubElement(SubElement(found, f"{{{_CHART}}}spPr"), f"{{{_DRAWING}}}ln", w="9525")
    SubElement(SubElement(line, f"{{{_DRAWING}}}solidFill"), f"{{{_DRAWING}}}srgbClr", val="55616D")
    series._element.find(f"{{{_CHART}}}xVal").addprevious(parse_xml(tostring(found)))  # where CT_ScatterSer has it


def _gap(upper: float | None, lower: float | None) -> float:
    if upper is None or lower is None or not (math.isfinite(upper) and math.isfinite(lower)):
        return 0.0
    return max(0.0, upper - lower)
