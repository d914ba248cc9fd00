"""Text from users and models as a report shows it: plain, bounded, and never markup."""

from __future__ import annotations

import html
import re

_DIRECTION = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def plain(text: str, limit: int = 160) -> str:
    """One line of at most `limit` characters, without control or direction marks."""
    line = " ".join(_DIRECTION.sub("", text[: 20 * limit]).split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "\u2026"


def escaped(text: str, limit: int = 160) -> str:
    """`plain`, for the inside of an HTML element or a quoted attribute."""
    return html.escape(plain(text, limit), quote=True)
