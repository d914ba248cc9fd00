"""A report as slides whose charts can be edited in the presentation itself."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import io
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR
from pptx.util import Inches, Pt

from core.analysis.promised_vs_measured import shares
from core.figures.points import points_of
from core.recipe.results import Result
from core.registry.formatting import DASH, in_full
from core.registry.metrics import metric
from core.report import pptx_charts
from core.report.figure import Figure
from core.report.model import Report
from core.report.text import filled, plain

_INK, _MUTED = RGBColor(0x0D, 0x15, 0x1E), RGBColor(0x55, 0x61, 0x6D)
_LEFT, _WIDTH = 0.7, 11.93  # inches, of a slide of 13.33 x 7.5
_ROWS = 7  # figures of the table beside the chart of a slide
_ROWS_ALONE = 13  # figures of a table that has a slide for itself
_LINES, _LINE = 14, 115  # lines of method notes on a slide, and characters of a line


def to_pptx(report: Report) -> bytes:
    """A title, the trade-off, a slide for each chosen candidate, and method notes; speaker notes name the run."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    _title(deck, report)
    if report.axes is not None:
        _tradeoff(deck, report, *report.axes)
    for candidate in report.chosen:
        _candidate(deck, report, candidate)
    _said(deck, report)
    for some in filled([plain(n, 400) for n in report.notes()], _LINES, _LINE):
        slide = _slide(deck, report, "How this was found out, and its limits")
        _text(slide, "\n".join(some), 1.5, 5.3, 15, gap=7)
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
    points = [p for p in points_of(report.results, x, y) if p.drawable]
    if report.caption:
        slide.notes_slide.notes_text_frame.text += f"\n{plain(report.caption, 400)}"
    limits = plain(report.outcome.sentence, 400)
    if points:
        pptx_charts.scatter(slide, points, report.letters, (_LEFT, 1.4, _WIDTH, 4.7 if limits else 5.3))
    if limits:
        _text(slide, limits, 6.15, 0.75, 14)


def _candidate(deck: Any, report: Report, candidate: Result) -> None:
    title = f"{report.letters[candidate.key]}. {plain(candidate.label, 80)}"
    slide = _slide(deck, report, title)
    _text(slide, plain(f"{report.quality_sentence(candidate)} {report.verdict(candidate)}", 400), 1.4, 1.1, 17)
    dense = report.baseline
    found = shares(candidate, dense) if dense else []
    if found:
        pptx_charts.bars(slide, found, candidate.method, (_LEFT, 2.65, 4.7, 4.1))
    figures = report.figures(candidate)
    _rest(deck, report, title, figures)
    _figures(slide, figures[:_ROWS], (5.5, 2.65, 7.13) if found else (_LEFT, 2.65, _WIDTH))
    slide.notes_slide.notes_text_frame.text += "\n" + "\n".join(
        plain(f"{f.label}: {in_full(f.measurement)}; {f'{f.against}; ' if f.against else ''}{f.obtained}", 400)
        for f in figures
    )


def _said(deck: Any, report: Report) -> None:
    """What the models write, a slide a prompt, and the votes."""
    for title, rows in report.said.tables():
        words = "\n".join(f"{name}: {text}" for name, text in rows[1:])
        _text(_slide(deck, report, title), words, 1.5, 5.3, 17, gap=10)
    if report.said.votes:
        slide = _slide(deck, report, "Which text is better, by blind votes")
        _text(slide, "\n".join(plain(v.sentence, 400) for v in report.said.votes), 1.5, 5.3, 20, gap=10)


def _rest(deck: Any, report: Report, title: str, figures: list[Figure]) -> None:
    """What does not fit beside the chart, on slides of its own: nothing is left out."""
    for start in range(_ROWS, len(figures), _ROWS_ALONE):
        slide = _slide(deck, report, f"{title}: further figures")
        _figures(slide, figures[start : start + _ROWS_ALONE], (_LEFT, 1.5, _WIDTH))


def _figures(slide: Any, figures: list[Figure], box: tuple[float, float, float]) -> None:
    """A table at this left and top, of this width."""
    rows = [
        ("Figure", "Value", "Range", "Original", "Against the original"),
        *(
            tuple(plain(words, 160) for words in (f.label, f.value, f.spread, f.original, f.against or DASH))
            for f in figures
        ),
    ]
    left, top, width = box
    shape = slide.shapes.add_table(
        len(rows), len(rows[0]), Inches(left), Inches(top), Inches(width), Inches(0.32 * len(rows))
    )
    for i, share in enumerate((0.24, 0.14, 0.19, 0.13, 0.3)):
        shape.table.columns[i].width = Inches(share * width)
    for i, row in enumerate(rows):
        for j, words in enumerate(row):
            cell = shape.table.cell(i, j)
            cell.fill.background()
            cell.margin_top = cell.margin_bottom = Inches(0.03)
            _fill(cell.text_frame, words, 11, bold=i == 0)
