"""Pages of a PDF: words that wrap and fit, rows of a table, pictures as vectors. Places count from the upper left."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from font_source_sans_pro import SourceSansPro, SourceSansProBold
from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from core.figures.theme import LIGHT
from core.report.picture import Area, Line, Mark, Picture, Place, Word

WIDE, HEIGHT = 960.0, 540.0
"""Points of a page, as of a slide of 13.33 by 7.5 inches."""
LEFT, WIDTH = 50.0, 860.0
_PLAIN, _BOLD = "Source Sans Pro", "Source Sans Pro Bold"
_LEADING = 1.25
_LOGO = (140.0, 54.0)


class Page:
    """The page being drawn; `begun`: whether it has anything on it."""

    def __init__(self, out: BinaryIO, title: str, author: str) -> None:
        _fonts()
        self._canvas = Canvas(out, pagesize=(WIDE, HEIGHT), invariant=True, pageCompression=1, lang="en")
        self._canvas.setTitle(_known(title, _PLAIN))
        self._canvas.setAuthor(_known(author, _PLAIN))
        self.begun = False

    def next(self) -> None:
        """Ends this page."""
        self._canvas.showPage()
        self.begun = False

    def save(self) -> None:
        """Ends the document."""
        self._canvas.save()

    def fill(self, color: str) -> None:
        """The whole page in a colour."""
        self._canvas.setFillColor(HexColor(color))
        self._canvas.rect(0, 0, WIDE, HEIGHT, stroke=0, fill=1)

    def bar(self, color: str) -> None:
        """A bar along the upper edge."""
        self._canvas.setFillColor(HexColor(color))
        self._canvas.rect(0, HEIGHT - 10, WIDE, 10, stroke=0, fill=1)

    def logo(self, png: bytes) -> None:
        """A picture in the upper right corner."""
        if png:
            picture = ImageReader(io.BytesIO(png))
            width, height = picture.getSize()
            size = min(_LOGO[0] / width, _LOGO[1] / height)
            place = LEFT + WIDTH - width * size, HEIGHT - 26.0 - height * size
            self._canvas.drawImage(picture, *place, width * size, height * size, mask="auto")

    def foot(self, date: str, source: str, color: str) -> None:
        """Date, source and number of the page."""
        number = str(self._canvas.getPageNumber())
        for text, x, anchor in ((date, LEFT, "start"), (source, WIDE / 2, "middle"), (number, LEFT + WIDTH, "end")):
            self._word(Word(x, HEIGHT - 20.0, text, color, 11.0, "middle" if anchor == "middle" else "start"), anchor)

    def words(
        self, text: str, x: float, y: float, width: float, height: float, size: float, color: str, *, bold: bool = False
    ) -> float:
        """Wrapped text, smaller where it would not fit; where it ends."""
        font = _BOLD if bold else _PLAIN
        while size > 9.0 and len(_wrapped(text, font, size, width)) * size * _LEADING > height:
            size -= 1.0
        self._canvas.setFillColor(HexColor(color))
        self._canvas.setFont(font, size)
        for line in _wrapped(text, font, size, width):
            self._canvas.drawString(x, HEIGHT - y - size, line)
            y += size * _LEADING
        return y

    def height_of(self, text: str, width: float, size: float) -> float:
        """How high wrapped text of this size is."""
        return len(_wrapped(text, _PLAIN, size, width)) * size * _LEADING

    def row_height(self, cells: Sequence[str], widths: Sequence[float], size: float) -> float:
        """How high a row of a table is."""
        return max(self.height_of(c, w - 10.0, size) for c, w in zip(cells, widths, strict=True)) + 8.0

    def row(self, cells: Sequence[str], widths: Sequence[float], y: float, size: float, *, head: bool = False) -> float:
        """A row of a table with a rule below; where it ends."""
        x, height = LEFT, self.row_height(cells, widths, size)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            self.words(cell, x, y + 3.0, width - 10.0, height, size, LIGHT.ink, bold=head or i == 0)
            x += width
        self._canvas.setStrokeColor(HexColor(LIGHT.grid))
        self._canvas.setLineWidth(1.5 if head else 0.75)
        self._canvas.line(LEFT, HEIGHT - y - height, LEFT + WIDTH, HEIGHT - y - height)
        return y + height

    def picture(self, picture: Picture, x: float, y: float, scale: float) -> None:
        """A picture whose upper left corner lies there."""
        self._canvas.saveState()
        self._canvas.translate(x, HEIGHT - y)
        self._canvas.scale(scale, scale)
        self._parts(picture.parts)
        self._canvas.restoreState()

    def _parts(self, parts: Iterable[Line | Area | Word | Mark]) -> None:
        for part in parts:
            if isinstance(part, Mark):
                self._parts(part.parts)
            elif isinstance(part, Word):
                self._word(part, part.anchor, 0.0)
            else:
                self._shape(part)

    def _shape(self, part: Line | Area) -> None:
        canvas, area = self._canvas, isinstance(part, Area)
        canvas.saveState()
        edge, fill = (part.edge, part.fill) if isinstance(part, Area) else (part.color, None)
        if edge:
            canvas.setStrokeColor(HexColor(edge))
            canvas.setStrokeAlpha(part.opacity)
        if fill:
            canvas.setFillColor(HexColor(fill))
            canvas.setFillAlpha(part.opacity)
        canvas.setLineWidth(part.width)
        if isinstance(part, Line) and part.dash:
            canvas.setDash(*part.dash)
        canvas.drawPath(_path(canvas, part.places, area), stroke=int(bool(edge)), fill=int(bool(fill)))
        canvas.restoreState()

    def _word(self, word: Word, anchor: str, top: float = HEIGHT) -> None:
        canvas, font = self._canvas, _BOLD if word.bold else _PLAIN
        text = _known(word.text, font)
        canvas.saveState()
        canvas.setFillColor(HexColor(word.color))
        canvas.setFont(font, word.size)
        canvas.translate(word.x, top - word.y)
        if word.upright:
            canvas.rotate(90)
        back = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * stringWidth(text, font, word.size)
        canvas.drawString(-back, 0, text)
        canvas.restoreState()


def _path(canvas: Canvas, places: Sequence[Place], closed: bool) -> object:
    path = canvas.beginPath()
    path.moveTo(places[0][0], -places[0][1])
    for x, y in places[1:]:
        path.lineTo(x, -y)
    if closed:
        path.close()
    return path


def _wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines of that width; a word longer than a line is cut."""
    lines, line = [], ""
    for word in _known(text, font).split():
        while stringWidth(word, font, size) > width:
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or stringWidth(word[:n], font, size) <= width)
            lines += [line] if line else []
            lines.append(word[:fits])
            line, word = "", word[fits:]
        if line and stringWidth(f"{line} {word}", font, size) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _known(text: str, font: str) -> str:
    """The text with a question mark for each character that the font lacks."""
    known = getFont(font).face.charToGlyph
    return "".join(c if ord(c) in known else "?" for c in text)


@lru_cache(maxsize=1)
def _fonts() -> None:
    for name, path in ((_PLAIN, SourceSansPro), (_BOLD, SourceSansProBold)):
        registerFont(TTFont(name, Path(path).with_suffix(".ttf")))  # the package names its OpenType files
