"""Text from users and models on one line: nothing invisible, and no longer than it may be."""

from __future__ import annotations


def one_line(text: str, limit: int) -> str:
    """The text as it can be shown anywhere plain text is; an ellipsis stands for what is cut off.

    Control characters, direction marks, zero-width characters and lone surrogates (one half of a pair) go:
    Unicode counts all of them as not printable.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= limit else line[: limit - 1] + "\u2026"


def visible(text: str) -> str:
    """The text with everything that cannot be seen written out: control characters, escape sequences, direction marks
    and zero widths as `\\x1b` or `\\u202e`. Line ends and tabs stay. For terminals and logs, which would obey them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def without_middle(line: str, limit: int) -> str:
    """A line without its middle where it is long: labels of one study often differ at the end only."""
    if len(line) <= limit:
        return line
    head = limit // 3
    return f"{line[:head].rstrip()} \u2026 {line[head + 3 - limit :].lstrip()}"


def whole(text: str) -> str:
    """The text with a question mark for each lone surrogate, which no file and no database takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def is_whole(text: str) -> bool:
    """False for text with a lone surrogate in it, as Python reads a file name that is not UTF-8."""
    return whole(text) == text


def is_line(text: str) -> bool:
    """Whether every character can be seen: no control characters, line ends, direction marks or zero widths."""
    return text.isprintable()
