"""Words and numbers as a page shows them. Names and messages may be hostile: they are escaped here."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.base.text import one_line

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ADDRESS = re.compile(r"https?:|ftp:|mailto:|xmpp:|www(?=\.)|[\w.+-](?=@[\w-]+\.)", re.IGNORECASE)


def md(text: str, limit: int = 300) -> str:
    """Text for a place that renders markdown: shown as it is, on one line, at most `limit` characters.

    Every ASCII punctuation mark is escaped (CommonMark 2.4), so no link, image, directive or formula
    survives; direction marks and control characters go. What would still be found to be an address (the
    search for them comes after escapes) is broken by an invisible word joiner.
    """
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub("\\g<0>\u2060", one_line(text, limit)))


def flat(text: str | None, limit: int = 160) -> str:
    """Text for a place that shows plain text (a table cell, an option): one line, no direction marks."""
    return one_line(text or "", limit)


def plural(count: int, word: str) -> str:
    """'1 trial', '12 trials'."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def duration(seconds: float | None) -> str:
    """'8 s', '2 min 10 s', '3 h 05 min'; an en dash for None."""
    if seconds is None:
        return "\u2013"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def about(seconds: float, *, at_least: bool = False) -> str:
    """An estimate, rounded so that it does not pretend: 'about 40 s', 'about 3 min', 'at least 2 h'."""
    how = "at least" if at_least else "about"
    if seconds < 90:
        return f"{how} {max(5, round(seconds / 5) * 5):.0f} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{how} {minutes:.0f} min"
    return f"{how} {minutes / 60:.1f} h"


def zone(name: str | None) -> tzinfo:
    """The browser's time zone, UTC where it is not known."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def when(moment: float | None, where: tzinfo, now: float | None = None) -> str:
    """'today 17:42', '24 Nov 17:42', '24 Nov 2025'; an en dash for None."""
    if moment is None:
        return "\u2013"
    then = datetime.fromtimestamp(moment, where)
    today = datetime.fromtimestamp(time.time() if now is None else now, where)
    if then.date() == today.date():
        return f"today {then:%H:%M}"
    if then.year == today.year:
        return f"{then.day} {then:%b %H:%M}"
    return f"{then.day} {then:%b %Y}"
