"""The story as a PDF: the slides as pages, charts as vectors, fonts embedded."""

from __future__ import annotations

import io
from collections.abc import Sequence

from core.figures.theme import LIGHT
from core.registry.formatting import DASH
from core.report import charts
from core.report.bars import bars
from core.report.brand import readable
from core.report.figure import Figure
from core.report.model import Report
from core.report.pdf_page import HEIGHT, LEFT, WIDTH, Page
from core.report.presented import presented
from core.report.slide import Slide
from core.report.story import dated, source, story
from core.report.text import plain

_TOP, _FOOT = 118.0, 48.0  # points: where a page's content begins, and what its foot takes
_FIGURES = (0.2, 0.14, 0.17, 0.13, 0.36)


def to_pdf(given: Report) -> bytes:
    """One page a slide, more where a table or a list is longer; a character the fonts lack becomes a question mark."""
    report = presented(given)
    out = io.BytesIO()
    page = Page(out, plain(report.headline, 200), plain(report.brand.author, 80))
    for one in story(report):
        _draw(page, report, one)
    page.save()
    return out.getvalue()


def _draw(page: Page, report: Report, one: Slide) -> None:
    if one.kind == "headline":
        _headline(page, report, one)
    elif one.big:
        _begin(page, report, one)
        strong = readable(report.brand.accent, "#FFFFFF")
        size = 110.0 if len(one.big) < 14 else 60.0 if len(one.big) < 40 else 36.0
        at = page.words(one.big, LEFT, _TOP, WIDTH, 150.0, size, strong, bold=True)
        at = page.words(one.lead, LEFT, at + 14.0, WIDTH, 70.0, 24.0, LIGHT.ink, bold=True)
        _lines(page, report, one, one.lines, at + 14.0)
    elif one.kind == "chart":
        _begin(page, report, one)
        at = _TOP
        for line in one.lines:
            at = page.words(line, LEFT, at, WIDTH, 34.0, 13.0, LIGHT.muted)
        if points := charts.points(report):
            page.picture(charts.drawn(report, points, LIGHT, (WIDTH, HEIGHT - _FOOT - at - 8.0)), LEFT, at + 8.0, 1.0)
    elif one.candidate is not None:
        _choice(page, report, one)
    elif one.table:
        _table(page, report, one, one.table, _TOP, 14.0)
        _lines(page, report, one, one.lines, HEIGHT - _FOOT - 34.0)
    else:
        _lines(page, report, one, one.lines, None)


def _headline(page: Page, report: Report, one: Slide) -> None:
    brand = report.brand
    page.fill(brand.accent)
    page.logo(brand.logo)
    page.words(one.lead, LEFT, 90.0, WIDTH - 160.0, 60.0, 20.0, brand.ink)
    at = page.words(one.title, LEFT, 160.0, WIDTH, 240.0, 44.0, brand.ink, bold=True)
    page.words(" \u00b7 ".join(reversed(one.lines)), LEFT, max(at + 20.0, 410.0), WIDTH, 40.0, 18.0, brand.ink)
    page.foot(dated(report), source(report), brand.ink)
    page.next()


def _begin(page: Page, report: Report, one: Slide) -> None:
    """A new page with title, bar, logo and foot."""
    if page.begun:
        page.next()
    page.begun = True
    page.bar(report.brand.accent)
    page.logo(report.brand.logo)
    page.words(one.title, LEFT, 44.0, WIDTH - (160.0 if report.brand.logo else 0.0), 64.0, 28.0, LIGHT.ink, bold=True)
    page.foot(dated(report), source(report), LIGHT.muted)


def _lines(page: Page, report: Report, one: Slide, lines: Sequence[str], at: float | None) -> None:
    """Lines from there on, on further pages where they need them; None: on a page of their own."""
    if at is None:
        _begin(page, report, one)
        at = _TOP
    for line in lines:
        needs = page.height_of(line, WIDTH, 17.0)
        if at + needs > HEIGHT - _FOOT:
            _begin(page, report, one)
            at = _TOP
        at = page.words(line, LEFT, at, WIDTH, needs + 1.0, 17.0, LIGHT.ink) + 8.0


def _choice(page: Page, report: Report, one: Slide) -> None:
    """What a candidate promised and what was measured, then every figure."""
    assert one.candidate is not None
    _begin(page, report, one)
    at = page.words(" ".join(one.lines), LEFT, _TOP, WIDTH, 60.0, 16.0, LIGHT.ink) + 12.0
    if found := charts.promised(report, one.candidate):
        drawn = bars(found, one.title, one.candidate.method, 820.0, LIGHT)
        room = HEIGHT - _FOOT - at
        page.picture(drawn, LEFT, at, min(1.0, room / drawn.height))
    rows = [("Figure", "Value", "Range", "Original", "Against the original")]
    rows += [_row(f) for f in report.figures(one.candidate)]
    _table(page, report, one, rows, _TOP, 12.0, _FIGURES)


def _row(f: Figure) -> tuple[str, str, str, str, str]:
    return f.label, f.value, f.spread, f.original, plain(f.against, 300) or DASH


def _table(
    page: Page,
    report: Report,
    one: Slide,
    rows: Sequence[tuple[str, ...]],
    top: float,
    size: float,
    shares: Sequence[float] = (),
) -> None:
    """A table on pages of its own, its head on each."""
    widths = [s * WIDTH for s in shares] if shares else [WIDTH / len(rows[0])] * len(rows[0])
    at = HEIGHT
    for row in rows[1:]:
        needs = page.row_height(row, widths, size)
        if at + needs > HEIGHT - _FOOT:
            _begin(page, report, one)
            at = page.row(rows[0], widths, top, size, head=True)
        at = page.row(row, widths, at, size)
