"""Text from users and models on one line: no control and no direction marks, and no longer than it may be."""

from __future__ import annotations

import re

_DIRECTION = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def one_line(text: str, limit: int) -> str:
    """The text as it can be shown anywhere plain text is; an ellipsis stands for what is cut off."""
    line = " ".join(_DIRECTION.sub("", text).split())
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "\u2026"
