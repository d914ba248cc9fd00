"""One slide of a report, before it has a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.recipe.results import Result

Kind = Literal[
    "headline",
    "recommendation",
    "saving",
    "chart",
    "choice",
    "costs",
    "users",
    "texts",
    "votes",
    "risk",
    "method",
    "ask",
]


@dataclass(frozen=True)
class Slide:
    """Words are plain text of one line each, bounded, and never markup."""

    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    candidate: Result | None = None
    """Of a choice: whose bars of promised against measured are drawn."""
    table: tuple[tuple[str, ...], ...] = ()
    """A head and rows of as many cells."""
    big: str = ""
    """The one figure of the slide: '\u221211 %'."""
    lead: str = ""
    """The sentence that explains it; of the headline, the question it answers."""
    notes: tuple[str, ...] = ()
    """For the speaker: how the figures came about."""
