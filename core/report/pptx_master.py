"""The master of the slides: our own layouts, margins, colours and foot."""

# mypy: disable-error-code="no-untyped-call"
# python-pptx has hints for a part of its functions only.
from __future__ import annotations

import copy
import io
import re
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.oxml import parse_xml
from pptx.util import Emu, Inches, Pt

from core.report.brand import Brand

LEFT, WIDTH = 0.7, 11.93
"""Margin and width of what stands on a slide, in inches; a slide is 13.33 by 7.5."""
HEADLINE, BIG, CONTENT = "Headline", "Big figure", "Content"
INK, MUTED = RGBColor(0x0D, 0x15, 0x1E), RGBColor(0x55, 0x61, 0x6D)
FONT = "Arial"
"""On every machine that opens presentations, so that nothing moves."""
_KEPT = {0: HEADLINE, 2: BIG, 5: CONTENT}  # of the library's template
_FOOT = {
    PP_PLACEHOLDER.DATE: (LEFT, 2.6),
    PP_PLACEHOLDER.FOOTER: (3.4, 7.5),
    PP_PLACEHOLDER.SLIDE_NUMBER: (11.43, 1.2),
}
_SPACES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
)
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_LOGO = (1.9, 0.75)  # inches: the most a logo takes


def designed(brand: Brand) -> Any:
    """An empty presentation with the three layouts."""
    deck: Any = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    _theme(deck, brand)
    for at in reversed(range(len(deck.slide_layouts))):
        if at not in _KEPT:
            deck.slide_layouts.remove(deck.slide_layouts[at])
    room = WIDTH - (_LOGO[0] + 0.3 if brand.logo else 0.0)
    for layout, name in zip(deck.slide_layouts, _KEPT.values(), strict=True):
        layout.name = name
        for look in layout._element.iter(f"{_A}lvl1pPr", f"{_A}defRPr"):
            look.attrib.pop("cap", None)  # headings keep their own letters
        for shape in layout.placeholders:
            kind = shape.placeholder_format.type
            if kind in _FOOT:
                left, width = _FOOT[kind]
                _place(shape, left, 6.95, width, 0.35)
            elif kind in (PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE):
                _place(shape, LEFT, *((2.0, WIDTH, 3.2) if name == HEADLINE else (0.5, room, 0.95)))
            else:
                _place(shape, LEFT, *((1.1, room, 0.7) if name == HEADLINE else (1.6, WIDTH, 2.4)))
        if name == HEADLINE:
            _ground(layout, brand.accent)
    for shape in deck.slide_master.placeholders:
        if shape.placeholder_format.type in (PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.BODY):
            _place(shape, LEFT, *((0.5, room, 0.95) if shape.placeholder_format.type == 1 else (1.6, WIDTH, 5.1)))
        elif shape.placeholder_format.type in _FOOT:
            left, width = _FOOT[shape.placeholder_format.type]
            _place(shape, left, 6.95, width, 0.35)
    _bar(deck.slide_master, brand.accent)
    return deck


def layout(deck: Any, name: str) -> Any:
    """The layout of that name."""
    return next(one for one in deck.slide_layouts if one.name == name)


def foot(slide: Any, date: str, source: str, color: RGBColor) -> None:
    """Date, source and number of the slide: fields of the layout, which the library leaves out."""
    for shape in slide.slide_layout.placeholders:
        kind = shape.placeholder_format.type
        if kind not in _FOOT:
            continue
        element = copy.deepcopy(shape._element)
        element.nvSpPr.cNvPr.set("id", str(max(s.shape_id for s in slide.shapes) + 1))
        slide.shapes._spTree.append(element)
        found = slide.shapes[-1]
        if kind != PP_PLACEHOLDER.SLIDE_NUMBER:  # that one is a field, which counts by itself
            found.text_frame.text = date if kind == PP_PLACEHOLDER.DATE else source
        for paragraph in found.text_frame.paragraphs:
            paragraph.font.size, paragraph.font.color.rgb, paragraph.font.name = Pt(11), color, FONT
            for run in paragraph._p.iter(f"{_A}rPr"):
                run.set("sz", "1100")


def logo(slide: Any, brand: Brand) -> None:
    """The author's picture in the upper right corner."""
    if brand.logo:
        picture = slide.shapes.add_picture(io.BytesIO(brand.logo), 0, 0)
        size = min(Inches(_LOGO[0]) / picture.width, Inches(_LOGO[1]) / picture.height)
        picture.width, picture.height = Emu(int(picture.width * size)), Emu(int(picture.height * size))
        picture.left, picture.top = Inches(LEFT + WIDTH) - picture.width, Inches(0.35)
        picture._element.nvPicPr.cNvPr.set("descr", "Logo")


def color(digits: str) -> RGBColor:
    """'#0072B2' as the library takes it."""
    return RGBColor(*bytes.fromhex(digits[1:]))


def _theme(deck: Any, brand: Brand) -> None:
    part = deck.slide_master.part.part_related_by(RELATIONSHIP_TYPE.THEME)
    text = part.blob.decode("utf-8")
    text = re.sub(r"(<a:accent1>).*?(</a:accent1>)", rf'\1<a:srgbClr val="{brand.accent[1:]}"/>\2', text, flags=re.S)
    text = re.sub(r'(<a:(?:majorFont|minorFont)>\s*<a:latin typeface=")[^"]*', rf"\g<1>{FONT}", text)
    part._blob = text.encode("utf-8")


def _ground(layout: Any, accent: str) -> None:
    fill = f'<a:solidFill><a:srgbClr val="{accent[1:]}"/></a:solidFill>'
    ground = f"<p:bg {_SPACES}><p:bgPr>{fill}<a:effectLst/></p:bgPr></p:bg>"
    layout._element.cSld.insert(0, parse_xml(ground))


def _bar(master: Any, accent: str) -> None:
    """A bar in the author's colour along the upper edge."""
    bar = (
        f'<p:sp {_SPACES}><p:nvSpPr><p:cNvPr id="900" name="Bar"/><p:cNvSpPr/><p:nvPr userDrawn="1"/></p:nvSpPr>'
        "<p:spPr>"
        f'<a:xfrm><a:off x="0" y="0"/><a:ext cx="{Inches(13.333)}" cy="{Inches(0.14)}"/></a:xfrm>'
        f'<a:prstGeom prst="rect"><a:avLst/></a:prstGeom><a:solidFill><a:srgbClr val="{accent[1:]}"/></a:solidFill>'
        "<a:ln><a:noFill/></a:ln></p:spPr></p:sp>"
    )
    master.shapes._spTree.insert(2, parse_xml(bar))


def _place(shape: Any, left: float, top: float, width: float, height: float) -> None:
    shape.left, shape.top, shape.width, shape.height = Inches(left), Inches(top), Inches(width), Inches(height)
