"""Native charts of the slides: their numbers, units, errors and labels are those of every other form."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_LEGEND_POSITION
from pptx.oxml import parse_xml
from pptx.util import Inches, Pt

from core.analysis.paired_times import relative_to
from core.analysis.promised_vs_measured import Share
from core.figures.axes import words
from core.figures.point import Point
from core.figures.theme import OKABE_ITO, method_style
from core.registry.formatting import scaled
from core.registry.measurement import Measurement
from core.registry.metrics import metric
from core.report.text import plain

_CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_WIDE = 10.0
"""The largest value over the smallest, from which an axis of qualities is logarithmic."""
Box = tuple[float, float, float, float]
"""Left, top, width and height in inches."""


def scatter(slide: Any, points: Sequence[Point], letters: dict[str, str], box: Box) -> None:
    """Quality against cost: a series a method, and one for each chosen candidate, with the errors of each point."""
    x, y = metric(points[0].x.metric), metric(points[0].y.metric)
    size, unit = scaled(x.id, max(p.x.value for p in points))
    groups = _groups(points, letters)
    data = XyChartData()
    for name, members in groups:
        series = data.add_series(plain(name, 60))
        for p in members:
            series.add_data_point(p.x.value / size, p.y.value)
    chart = slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *map(Inches, box), data).chart
    chart.has_legend, chart.has_title = True, False
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.font.size = Pt(13)
    below = f", {told}" if (told := relative_to([p.x for p in points])) else ""
    for axis, title in ((chart.category_axis, words(x.id, unit) + below), (chart.value_axis, words(y.id, y.unit))):
        axis.has_title = True
        axis.axis_title.text_frame.text = title
        axis.major_gridlines.format.line.color.rgb = RGBColor(0xDF, 0xE5, 0xEA)
    values = [p.y.value for p in points]
    if y.better == "lower" and min(values) > 0 and max(values) > _WIDE * min(values):
        _logarithmic(chart.value_axis)
    for series, (name, members) in zip(chart.plots[0].series, groups, strict=True):
        series.format.line.fill.background()
        series.marker.size = 13 if name[1:2] == "." else 8
        series.marker.format.fill.solid()
        series.marker.format.fill.fore_color.rgb = color(members[0].method)
        _errors(series, "y", [p.y for p in members], 1.0)
        _errors(series, "x", [p.x for p in members], size)


def _groups(points: Sequence[Point], letters: dict[str, str]) -> list[tuple[str, list[Point]]]:
    others = [p for p in points if p.key not in letters]
    found = [
        (method_style(m).label, [p for p in others if p.method == m]) for m in dict.fromkeys(p.method for p in others)
    ]
    return found + [(f"{letters[p.key]}. {plain(p.label, 40)}", [p]) for p in points if p.key in letters]


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


def _logarithmic(axis: Any) -> None:
    axis._element.find(f"{{{_CHART}}}scaling").insert(0, parse_xml(tostring(Element(f"{{{_CHART}}}logBase", val="10"))))


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
