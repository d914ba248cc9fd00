"""Whose report it is: title, author, one colour and a logo."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, replace

from PIL import Image

from core.base.errors import RetortError

ACCENT = "#0072B2"
"""The colour of a report whose author names none."""
TITLE, AUTHOR = 120, 80
"""Characters of a title and of an author's name."""
LOGO_BYTES = 1_000_000
_SIDE, _DRAWN = 4096, (800, 240)  # pixels: of the largest picture that is read, and of the largest that is shown
_REMEDY = "Take a PNG or JPEG of at most 1 MB and 4,096 pixels a side."


@dataclass(frozen=True)
class Brand:
    """What a report looks like. Texts are as users gave them: forms escape them."""

    title: str = ""
    """What is asked; empty: proposed from the study."""
    author: str = ""
    accent: str = ACCENT
    """A colour as '#rrggbb'."""
    logo: bytes = b""
    """A PNG that `logo_of` made; empty: none."""

    @property
    def ink(self) -> str:
        """What is written on the accent: black or white, whichever can be read better."""
        return ink_on(self.accent)

    def with_logo(self, png: bytes) -> Brand:
        """The same with a logo that `logo_of` made."""
        return replace(self, logo=png)


def brand(title: str = "", author: str = "", accent: str = "", logo: bytes = b"") -> Brand:
    """The look of a report; `logo` as it was read from a file.

    Raises:
        RetortError: too long, a colour that is none, a logo that is no picture or too large.
    """
    if len(title) > TITLE or len(author) > AUTHOR:
        raise RetortError(f"The title has more than {TITLE} characters, or the author more than {AUTHOR}.", "Shorten.")
    if accent and not re.fullmatch("#[0-9a-fA-F]{6}", accent):
        raise RetortError(f"'{accent[:20]}' is no colour.", "Write it as #0072B2: red, green and blue in two digits.")
    return Brand(title.strip(), author.strip(), accent.upper() or ACCENT, logo_of(logo) if logo else b"")


def logo_of(data: bytes) -> bytes:
    """A picture as a PNG of our own, small enough to be carried in every slide.

    Raises:
        RetortError: it is no PNG or JPEG that can be read, or larger than it may be.
    """
    if len(data) > LOGO_BYTES:
        raise RetortError("The logo is larger than 1 MB.", _REMEDY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of a picture that unpacks to a huge one
            picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            if max(picture.size) <= _SIDE:
                drawn = picture.convert("RGBA")
                drawn.thumbnail(_DRAWN)
                out = io.BytesIO()
                drawn.save(out, "PNG", optimize=True)
                return out.getvalue()
    except Exception as error:  # a decoder meets what nobody foresaw: whatever it raises, this is no picture
        raise RetortError("The logo cannot be read as a picture.", _REMEDY) from error
    raise RetortError("The logo has more than 4,096 pixels on a side.", _REMEDY)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(color: str) -> str:
    """Black or white; one of them has at least 4.5 to 1 on any colour."""
    return max(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, color))


def readable(color: str, ground: str) -> str:
    """The colour darkened or lightened until words in it can be read on a ground (4.5 to 1)."""
    ink = ink_on(ground)
    for part in range(21):
        mixed = _mixed(color, ink, part / 20.0)
        if contrast(mixed, ground) >= 4.5:
            return mixed
    return ink


def _mixed(color: str, other: str, part: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02X}" for a, b in pairs)


def _luminance(color: str) -> float:
    parts = [c / 255.0 for c in _channels(color)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(color: str) -> bytes:
    return bytes.fromhex(color[1:])
