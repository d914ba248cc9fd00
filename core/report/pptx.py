"""A report as slides whose charts can be edited in the presentation itself."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import io
from typing import Any

from pptx import Presentation
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_LEGEND_POSITION
from pptx.enum.text import MSO_ANCHOR
from pptx.util import Inches, Pt

from core.analysis.honesty import shares
from core.analysis.paired_times import relative_to
from core.figures.points import points_of
from core.figures.theme import OKABE_ITO, method_style
from core.metrics import metric
from core.report.model import Report
from core.report.text import plain
from core.results import Result

_INK, _MUTED = RGBColor(0x0D, 0x15, 0x1E), RGBColor(0x55, 0x61, 0x6D)
_LEFT, _WIDTH = 0.7, 11.93  # inches, of a slide of 13.33 x 7.5
_ROWS = 7  # figures of the table on a slide
_NOTES = 7  # method notes on a slide
_MILLION = {"B": ("MB", 1e6), "": ("", 1.0)}


def to_pptx(report: Report) -> bytes:
    """A title, the trade-off, a slide for each chosen candidate, and method notes; speaker notes name the run."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    _title(deck, report)
    if report.axes is not None:
        _tradeoff(deck, report, *report.axes)
    for candidate in report.chosen:
        _candidate(deck, report, candidate)
    notes = report.notes()
    for start in range(0, len(notes), _NOTES):
        slide = _slide(deck, report, "How this was found out, and its limits")
        _text(slide, "\n".join(plain(n, 210) for n in notes[start : start + _NOTES]), 1.5, 5.3, 15, gap=7)
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def _slide(deck: Any, report: Report, title: str) -> Any:
    slide = deck.slides.add_slide(deck.slide_layouts[5])  # "Title Only": outline and screen readers find the title
    shape = slide.shapes.title
    shape.left, shape.top, shape.width, shape.height = Inches(_LEFT), Inches(0.45), Inches(_WIDTH), Inches(0.9)
    _fill(shape.text_frame, title, 26, bold=True)
    _text(slide, f"Run {plain(report.run.id, 60)}", 6.95, 0.4, 11, muted=True)
    slide.notes_slide.notes_text_frame.text = (
        f"From run {plain(report.run.id)} ({plain(report.run.name)}), model {plain(report.run.model)}."
    )
    return slide


def _text(slide: Any, text: str, top: float, height: float, size: int, *, gap: int = 0, muted: bool = False) -> None:
    box = slide.shapes.add_textbox(Inches(_LEFT), Inches(top), Inches(_WIDTH), Inches(height))
    _fill(box.text_frame, text, size, gap=gap, muted=muted)


def _fill(frame: Any, text: str, size: int, *, bold: bool = False, gap: int = 0, muted: bool = False) -> None:
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
    frame.text = text
    for paragraph in frame.paragraphs:
        paragraph.alignment = 1  # left
        paragraph.space_after = Pt(gap)
        paragraph.font.size, paragraph.font.bold = Pt(size), bold
        paragraph.font.color.rgb = _MUTED if muted else _INK


def _title(deck: Any, report: Report) -> None:
    slide = _slide(deck, report, plain(report.headline, 400))
    shape = slide.shapes.title
    shape.top, shape.height = Inches(1.6), Inches(3.9)
    words = plain(report.headline, 400)
    _fill(shape.text_frame, words, 36 if len(words) < 120 else 28 if len(words) < 260 else 22, bold=True)
    _text(slide, f"{plain(report.run.name, 80)} \u00b7 {plain(report.run.model, 80)}", 5.8, 0.6, 18, muted=True)


def _tradeoff(deck: Any, report: Report, x: str, y: str) -> None:
    slide = _slide(deck, report, f"{metric(y).label} against {metric(x).label.lower()}")
    unit, size = _MILLION.get(metric(x).unit, (metric(x).unit, 1.0))
    points = [p for p in points_of(report.results, x, y) if p.drawable]
    if report.caption:
        slide.notes_slide.notes_text_frame.text += f"\n{plain(report.caption, 400)}"
    letters = report.letters
    data = XyChartData()
    groups: list[tuple[str, int, list[tuple[float, float]]]] = []
    for name in dict.fromkeys(p.method for p in points if p.key not in letters):
        style = method_style(name)
        groups.append(
            (style.label, style.color, [_xy(p, size) for p in points if p.method == name and p.key not in letters])
        )
    groups += [
        (f"{letters[p.key]}. {plain(p.label, 40)}", method_style(p.method).color, [_xy(p, size)])
        for p in points if p.key in letters
    ]  # fmt: skip
    for name, _, pairs in groups:
        series = data.add_series(plain(name, 60))
        for pair in pairs:
            series.add_data_point(*pair)
    frame = slide.shapes.add_chart(
        XL_CHART_TYPE.XY_SCATTER, Inches(_LEFT), Inches(1.4), Inches(_WIDTH), Inches(5.3), data
    )
    chart = frame.chart
    chart.has_legend, chart.has_title = True, False
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.font.size = Pt(13)
    for axis, label in (
        (chart.category_axis, f"{metric(x).label} {f'({unit})' if unit else ''}{_relative(points)}"),
        (chart.value_axis, metric(y).label),
    ):
        axis.has_title = True
        axis.axis_title.text_frame.text = label.strip()
        axis.major_gridlines.format.line.color.rgb = RGBColor(0xDF, 0xE5, 0xEA)
    for series, (name, color, _) in zip(chart.plots[0].series, groups, strict=True):
        series.format.line.fill.background()
        series.marker.size = 13 if name[1:2] == "." else 8
        series.marker.format.fill.solid()
        series.marker.format.fill.fore_color.rgb = _rgb(color)


def _relative(points: list[Any]) -> str:
    """What the axis of a time adds to its name."""
    told = relative_to([p.x for p in points])
    return f", {told}" if told else ""


def _xy(p: Any, size: float) -> tuple[float, float]:
    return p.x.value / size, p.y.value


def _rgb(color: int) -> RGBColor:
    digits = OKABE_ITO[color % len(OKABE_ITO)][1:]
    return RGBColor(*bytes.fromhex(digits))


def _candidate(deck: Any, report: Report, candidate: Result) -> None:
    slide = _slide(deck, report, f"{report.letters[candidate.key]}. {plain(candidate.label, 80)}")
    _text(slide, plain(f"{report.quality_sentence(candidate)} {report.verdict(candidate)}", 330), 1.4, 1.1, 17)
    dense = report.baseline
    found = shares(candidate, dense) if dense else []
    if found:
        data = CategoryChartData(number_format='0" %"')
        data.categories = [plain(s.label, 40) + (" (estimated)" if s.obtained == "estimated" else "") for s in found]
        data.add_series("Share of the dense baseline", [100 * s.value for s in found])
        frame = slide.shapes.add_chart(
            XL_CHART_TYPE.BAR_CLUSTERED, Inches(_LEFT), Inches(2.65), Inches(5.6), Inches(4.1), data
        )
        _bars(frame.chart, method_style(candidate.method).color)
    figures = report.figures(candidate)
    _figures(slide, figures[:_ROWS])
    slide.notes_slide.notes_text_frame.text += "\n" + "\n".join(
        plain(f"{f.label}: {f.shown}, range {f.spread}, {f.obtained}", 300) for f in figures
    )


def _bars(chart: Any, color: int) -> None:
    chart.has_legend, chart.has_title = False, True
    chart.chart_title.text_frame.text = "Share of the dense baseline"
    chart.chart_title.text_frame.paragraphs[0].font.size = Pt(14)
    chart.font.size = Pt(12)
    chart.category_axis.reverse_order = True
    chart.value_axis.minimum_scale, chart.value_axis.visible = 0, False
    chart.value_axis.has_major_gridlines = False
    plot = chart.plots[0]
    plot.gap_width, plot.has_data_labels = 50, True
    plot.data_labels.position, plot.data_labels.number_format = XL_LABEL_POSITION.OUTSIDE_END, '0" %"'
    plot.data_labels.number_format_is_linked = False
    plot.series[0].format.fill.solid()
    plot.series[0].format.fill.fore_color.rgb = _rgb(color)


def _figures(slide: Any, figures: list[Any]) -> None:
    rows = [("Figure", "Original", "Value", "Against the original"), *(
        (plain(f.label, 40), plain(f.original, 30),
         plain(f.shown, 30) + (" (est.)" if f.measurement.obtained == "estimated" else ""),
         plain(f.difference.change if f.difference else "\u2013", 40)) for f in figures
    )]  # fmt: skip
    shape = slide.shapes.add_table(len(rows), 4, Inches(6.6), Inches(2.75), Inches(6.03), Inches(0.42 * len(rows)))
    for i, width in enumerate((2.0, 1.1, 1.25, 1.68)):
        shape.table.columns[i].width = Inches(width)
    for i, row in enumerate(rows):
        for j, words in enumerate(row):
            cell = shape.table.cell(i, j)
            cell.fill.background()
            _fill(cell.text_frame, words, 12, bold=i == 0)
