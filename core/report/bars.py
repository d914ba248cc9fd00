"""Costs as shares of the original's, as a picture: a bar, its number and its interval a row."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.promised_vs_measured import NOMINAL, Share
from core.figures.promised_vs_measured import alt
from core.figures.theme import Theme, method_style
from core.report.picture import Area, Line, Mark, Picture, Word, room

_ROW, _BAR = 40.0, 20.0


def bars(shares: Sequence[Share], label: str, method_id: str, width: float, ground: Theme) -> Picture:
    """Bars in the order given, in the colour of the method; what was asked for is pale, what is estimated hollow."""
    narrow = width < 600
    size = 13.0 if narrow else 14.0
    row = _ROW + (22.0 if narrow else 0.0)
    picture = Picture(width, row * len(shares) + 30.0, "Share of the dense baseline", alt(label, shares))
    left = 8.0 if narrow else 20.0 + max(room(s.label, size) for s in shares)
    right = width - 16.0 - max(room(s.said, size) for s in shares)
    most = max(1.0, *(s.value for s in shares))
    length = max(60.0, right - left) / most
    color = ground.color(method_style(method_id).color)
    whole = left + length
    for i, share in enumerate(shares):
        top = row * i + (24.0 if narrow else 4.0)
        end = left + max(1.0, length * share.value)
        places = ((left, top), (end, top), (end, top + _BAR), (left, top + _BAR))
        fill = None if share.obtained == "estimated" else color
        drawn: list[Area | Line | Word] = [
            Area(places, fill, color, 1.5, 0.45 if share.metric == NOMINAL else 1.0),
            Word(left + length * most + 12.0, top + 15.0, share.said, ground.ink, size),
        ]
        if share.interval and share.low is not None and share.high is not None:
            middle = top + _BAR / 2
            drawn.append(Line(((left + length * share.low, middle), (left + length * share.high, middle)), ground.ink))
        name = (left, top - 6.0) if narrow else (left - 12.0, top + 15.0)
        drawn.append(Word(*name, share.label, ground.ink, size, "start" if narrow else "end"))
        said = f"{share.label}: {share.said}\n{share.shown}; dense {share.baseline_shown}"
        data = (("name", share.label), ("share", repr(100.0 * share.value)), ("said", share.said))
        picture.parts.append(Mark(tuple(drawn), said, data))
    foot = picture.height - 22.0
    picture.parts.append(Line(((whole, 0.0), (whole, foot)), ground.ink, 1.5, (2.0, 4.0)))
    picture.parts.append(Word(whole, foot + 17.0, "100 %", ground.muted, size, "middle"))
    return picture
