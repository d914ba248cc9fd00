"""What a pruning step says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PruneReport:
    """Numbers and plain sentences about one pruning step.

    `facts` goes into the result of the candidate (JSON: plain numbers, strings, lists and
    dictionaries). `notes` says what a person should know about how it was obtained (columns left
    dense, damping raised, weights that were zero before).
    """

    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Adds a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
