"""Text from users and models as a report shows it: plain, bounded, and never markup."""

from __future__ import annotations

import html

from core.plain_text import one_line


def plain(text: str, limit: int = 160) -> str:
    """One line of at most `limit` characters, without control or direction marks."""
    return one_line(text[: 20 * limit], limit)


def escaped(text: str, limit: int = 160) -> str:
    """`plain`, for the inside of an HTML element or a quoted attribute."""
    return html.escape(plain(text, limit), quote=True)
