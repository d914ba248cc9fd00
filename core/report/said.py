"""What a report shows of the models' own texts, and of the votes on them. Texts are as models wrote them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from core.report.text import plain

LEGEND = (
    "A candidate's own text is marked from where it leaves the original's. Where the original's text stands under it, "
    "the colour shows how little the candidate expected a word, and a double line that it would have written another."
)
PLAIN_LEGEND = "The first text is the original's own; the others are marked from where they leave it."
_SLIDE = 260  # characters of a text on a slide


@dataclass(frozen=True)
class Token:
    """A token of the original's text: how far the candidate is from the original there (nats), and whether it would
    have written another."""

    text: str
    kl: float
    differs: bool

    @property
    def shade(self) -> int:
        """0 to 4, growing with the divergence as the marks on the Compare page do."""
        return min(4, math.floor(5 * (1 - math.exp(-self.kl)))) if math.isfinite(self.kl) else 4


@dataclass(frozen=True)
class Other:
    """A candidate beside the original on one prompt.

    `parts_at`: characters of `text` that are the original's as well. `tokens`, `kl` (mean, nats) and `agreement` (%):
    how it reads the original's text; empty and None where it only wrote.
    """

    name: str
    text: str
    parts_at: int
    tokens: tuple[Token, ...] = ()
    kl: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Texts:
    """One prompt, what the original wrote after it, and the candidates. `how`: the way they were drawn, in words."""

    prompt: str
    how: str
    text: str
    others: tuple[Other, ...]


@dataclass(frozen=True)
class Voted:
    """Blind votes between the original and a candidate, and what they show (core/analysis/votes.py)."""

    name: str
    original: int
    candidate: int
    neither: int
    p: float
    sentence: str


@dataclass(frozen=True)
class Said:
    """`gone`: how many of the texts asked for are not there any more."""

    texts: tuple[Texts, ...] = ()
    votes: tuple[Voted, ...] = ()
    gone: int = 0

    def __bool__(self) -> bool:
        return bool(self.texts or self.votes)

    def under(self, names: Mapping[str, str]) -> Said:
        """The same with other names of the candidates, by the names they have."""
        texts = [
            replace(t, others=tuple(replace(o, name=names.get(o.name, o.name)) for o in t.others)) for t in self.texts
        ]
        votes = [
            replace(v, name=names.get(v.name, v.name), sentence=v.sentence.replace(v.name, names.get(v.name, v.name)))
            for v in self.votes
        ]
        return replace(self, texts=tuple(texts), votes=tuple(votes))

    def tables(self) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
        """A title and rows of plain text for each prompt: for slides, which take no colours."""
        for one in self.texts:
            rows = [("Original", plain(one.text, _SLIDE)), *((o.name, plain(o.text, _SLIDE)) for o in one.others)]
            yield plain(f"After \u201c{one.prompt}\u201d", 160), (("Model", "What it wrote"), *rows)

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"texts": [asdict(t) for t in self.texts], "votes": [asdict(v) for v in self.votes]}
