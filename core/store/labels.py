"""What a user may write about a run: the rules for tags and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.base.errors import RetortError

MOST_TAGS = 20
TAG_LENGTH = 40
NOTES_LENGTH = 4_000
_TAG = re.compile(r"[\w.:+/-]+(?: [\w.:+/-]+)*")


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags, each once, in the given order, without space around them; empty ones are left out.

    Raises:
        RetortError: a tag is too long or has characters that a tag cannot have, or there are too many.
    """
    found = tuple(dict.fromkeys(t for t in (tag.strip() for tag in tags) if t))
    for tag in found:
        if len(tag) > TAG_LENGTH:
            raise RetortError(f"The tag '{tag[:20]}\u2026' is longer than {TAG_LENGTH} characters.", "Shorten it.")
        if not _TAG.fullmatch(tag):
            raise RetortError(
                f"The tag {tag!a} has characters that a tag cannot have.",
                "Use letters, digits, single spaces and . : + / _ - only.",
            )
    if len(found) > MOST_TAGS:
        raise RetortError(f"A run can have {MOST_TAGS} tags, and these are {len(found)}.", "Leave some out.")
    return found


def clean_notes(notes: str) -> str:
    """The notes with plain line ends and without space around them.

    Raises:
        RetortError: they are too long, or hold control characters.
    """
    text = notes.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > NOTES_LENGTH:
        raise RetortError(
            f"The note has {len(text):,} characters, and at most {NOTES_LENGTH:,} are kept.", "Shorten it."
        )
    if any(not c.isprintable() and c not in "\n\t" and c != "\u200d" for c in text):
        raise RetortError("The note holds control characters.", "Paste it as plain text.")
    return text
