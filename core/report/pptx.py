"""The story as PowerPoint slides whose charts can be edited in the presentation itself."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import io
from typing import Any

from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR
from pptx.util import Inches, Pt

from core.recipe.results import Result
from core.registry.formatting import DASH, in_full
from core.report import charts, pptx_charts
from core.report.brand import readable
from core.report.figure import Figure
from core.report.model import Report
from core.report.pptx_master import (
    BIG,
    CONTENT,
    FONT,
    HEADLINE,
    INK,
    LEFT,
    MUTED,
    WIDTH,
    color,
    designed,
    foot,
    layout,
    logo,
)
from core.report.presented import presented
from core.report.slide import Slide
from core.report.story import dated, source, story
from core.report.text import plain

_ROWS = 7  # figures of the table beside the chart of a slide
_ROWS_ALONE = 13  # figures of a table that has a slide for itself


def to_pptx(given: Report) -> bytes:
    """The slides of the story from a master of our own; what a slide leaves out stands in its speaker notes."""
    report = presented(given)
    deck = designed(report.brand)
    for one in story(report):
        _draw(deck, report, one)
    deck.core_properties.title = plain(report.headline, 200)
    deck.core_properties.author = plain(report.brand.author, 80)
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def _draw(deck: Any, report: Report, one: Slide) -> None:
    if one.kind == "headline":
        _headline(deck, report, one)
    elif one.candidate is not None:
        _candidate(deck, report, one, one.candidate)
    elif one.big:
        _big(deck, report, one)
    elif one.kind == "chart":
        _tradeoff(deck, report, one)
    else:
        slide = _slide(deck, report, one)
        if one.kind == "texts":
            words = "\n".join(f"{name}: {text}" for name, text in one.table[1:])
            _text(slide, words, 1.6, 5.2, 18, gap=10)
        elif one.table:
            _table(slide, list(one.table), (LEFT, 1.6, WIDTH), 14)
            _text(slide, "\n".join(one.lines), 5.9, 0.9, 14, ink=MUTED)
        else:
            _text(slide, "\n".join(one.lines), 1.6, 5.2, _fitting(one.lines), gap=9)


def _slide(deck: Any, report: Report, one: Slide, kind: str = CONTENT) -> Any:
    slide = deck.slides.add_slide(layout(deck, kind))  # a title of the layout: outline and screen readers find it
    on_accent = kind == HEADLINE
    ink = color(report.brand.ink) if on_accent else INK
    size = 28 if len(one.title) < 60 else 22 if len(one.title) < 110 else 18
    _fill(slide.shapes.title.text_frame, one.title, size, bold=True, ink=ink)
    slide.shapes.title.text_frame.vertical_anchor = MSO_ANCHOR.MIDDLE
    logo(slide, report.brand)
    foot(slide, dated(report), source(report), ink if on_accent else MUTED)
    slide.notes_slide.notes_text_frame.text = "\n".join((f"From: {_from(report)}.", *one.notes))
    return slide


def _from(report: Report) -> str:
    if report.audience == "executives":
        return f"{source(report)}, measured {dated(report)}"
    return f"run {plain(report.run.id)} ({plain(report.run.name)}), model {plain(report.run.model)}"


def _headline(deck: Any, report: Report, one: Slide) -> None:
    slide = _slide(deck, report, one, HEADLINE)
    ink = color(report.brand.ink)
    size = 40 if len(one.title) < 90 else 32 if len(one.title) < 180 else 26 if len(one.title) < 280 else 20
    _fill(slide.shapes.title.text_frame, one.title, size, bold=True, ink=ink)
    _fill(slide.placeholders[1].text_frame, one.lead, 20, ink=ink)
    _text(slide, " \u00b7 ".join(reversed(one.lines)), 5.5, 0.9, 18, ink=ink)


def _big(deck: Any, report: Report, one: Slide) -> None:
    """One figure, the sentence that explains it, and the rest."""
    slide = _slide(deck, report, one, BIG)
    size = 120 if len(one.big) < 14 else 66 if len(one.big) < 24 else 40 if len(one.big) < 60 else 26
    strong = color(readable(report.brand.accent, "#FFFFFF"))
    _fill(slide.placeholders[1].text_frame, one.big, size, bold=True, ink=strong)
    slide.placeholders[1].text_frame.vertical_anchor = MSO_ANCHOR.MIDDLE
    _text(slide, one.lead, 4.1, 1.0, 24, bold=True)
    _text(slide, "\n".join(one.lines), 5.15, 1.75, min(18, _fitting(one.lines, 5)), gap=6)


def _tradeoff(deck: Any, report: Report, one: Slide) -> None:
    slide = _slide(deck, report, one)
    points = [p for p in charts.points(report) if p.drawable]
    words = "\n".join(one.lines)
    if points:
        pptx_charts.scatter(slide, report, points, (LEFT, 1.5, WIDTH, 4.55))
    _text(slide, words, 6.1, 0.8, 13 if len(words) < 240 else 11, ink=MUTED)
    notes = [charts.alt_of(report, points)]
    notes += [f"{name}: {cost}; {quality}." for name, cost, quality in charts.written(report, points[:40])]
    slide.notes_slide.notes_text_frame.text += "\n" + "\n".join(plain(n, 600) for n in notes)


def _candidate(deck: Any, report: Report, one: Slide, candidate: Result) -> None:
    slide = _slide(deck, report, one)
    _text(slide, " ".join(one.lines), 1.5, 1.05, 17 if sum(map(len, one.lines)) < 240 else 14)
    found = charts.promised(report, candidate)
    if found:
        pptx_charts.bars(slide, found, candidate.method, (LEFT, 2.65, 4.7, 4.1))
    figures = report.figures(candidate)
    _rest(deck, report, one, figures)
    _figures(slide, figures[:_ROWS], (5.5, 2.65, 7.13) if found else (LEFT, 2.65, WIDTH))
    slide.notes_slide.notes_text_frame.text += "\n" + "\n".join(
        plain(f"{f.label}: {in_full(f.measurement)}; {f'{f.against}; ' if f.against else ''}{f.obtained}", 400)
        for f in figures
    )


def _rest(deck: Any, report: Report, one: Slide, figures: list[Figure]) -> None:
    """What does not fit beside the chart, on slides of its own: nothing is left out."""
    for start in range(_ROWS, len(figures), _ROWS_ALONE):
        slide = _slide(deck, report, Slide("choice", f"{one.title}: further figures"))
        _figures(slide, figures[start : start + _ROWS_ALONE], (LEFT, 1.6, WIDTH))


def _figures(slide: Any, figures: list[Figure], box: tuple[float, float, float]) -> None:
    rows = [
        ("Figure", "Value", "Range", "Original", "Against the original"),
        *(
            tuple(plain(words, 160) for words in (f.label, f.value, f.spread, f.original, f.against or DASH))
            for f in figures
        ),
    ]
    _table(slide, rows, box, 11, (0.24, 0.14, 0.19, 0.13, 0.3))


def _table(
    slide: Any,
    rows: list[tuple[str, ...]],
    box: tuple[float, float, float],
    size: int,
    shares: tuple[float, ...] = (),
) -> None:
    """A table at this left and top, of this width; a line under each row and nothing else."""
    left, top, width = box
    count = len(rows[0])
    height = Inches((0.32 if size < 14 else 0.42) * len(rows))
    shape = slide.shapes.add_table(len(rows), count, Inches(left), Inches(top), Inches(width), height)
    shape._element.graphic.graphicData.tbl.tblPr.find(
        "{http://schemas.openxmlformats.org/drawingml/2006/main}tableStyleId"
    ).text = "{2D5ABB26-0587-4C30-8999-92F81FD0307C}"  # "No style, no grid"
    for i, share in enumerate(shares or (1.0 / count,) * count):
        shape.table.columns[i].width = Inches(share * width)
    for i, row in enumerate(rows):
        for j, words in enumerate(row):
            cell = shape.table.cell(i, j)
            cell.margin_top = cell.margin_bottom = Inches(0.03)
            _fill(cell.text_frame, words, size, bold=i == 0 or j == 0)
            pptx_charts.rule(cell)


def _text(
    slide: Any,
    text: str,
    top: float,
    height: float,
    size: int,
    *,
    gap: int = 0,
    ink: RGBColor = INK,
    bold: bool = False,
) -> None:
    if text:
        box = slide.shapes.add_textbox(Inches(LEFT), Inches(top), Inches(WIDTH), Inches(height))
        _fill(box.text_frame, text, size, gap=gap, ink=ink, bold=bold)


def _fill(frame: Any, text: str, size: int, *, bold: bool = False, gap: int = 0, ink: RGBColor = INK) -> None:
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
    frame.text = text
    for paragraph in frame.paragraphs:
        paragraph.alignment = 1  # left
        paragraph.space_after = Pt(gap)
        paragraph.font.size, paragraph.font.bold, paragraph.font.name = Pt(size), bold, FONT
        paragraph.font.color.rgb = ink


def _fitting(lines: tuple[str, ...], rows: int = 13) -> int:
    """The size of letters at which these lines fill no more than so many rows of 18 points."""
    needed = sum(max(1, -(-len(line) // 95)) for line in lines)
    return 20 if needed <= rows * 0.8 else 18 if needed <= rows else 15
