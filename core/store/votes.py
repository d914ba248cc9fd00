"""Blind votes between two models, one for each prompt: a second vote on the same texts shows nothing new."""

from __future__ import annotations

import time
from typing import NamedTuple

from core.store.connection import Database
from core.store.folders import note_vote


class Tally(NamedTuple):
    """How often each of two models was preferred, and neither."""

    first: int
    second: int
    neither: int


class Votes:
    """The table of votes. A pair of models is the same pair in either order."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, first: str, second: str, prompt: str, preferred: str | None, *, voter: str = "") -> None:
        """Records a vote; a later one on the same prompt takes its place.

        Args:
            first, second: references of the two models.
            preferred: the reference of the better one, or None for neither.
            voter: who says so; '' where nobody signs in.
        Raises:
            ValueError: one model is compared with itself, or the preferred one is none of the two.
        """
        if first == second or preferred not in (first, second, None):
            raise ValueError("A vote is between two different models.")
        one, other = sorted((first, second))
        word = {one: "one", other: "other", None: "neither"}[preferred]
        vote = {
            "one": one,
            "other": other,
            "prompt": prompt,
            "preferred": word,
            "created": time.time(),
            "voter": voter,
        }
        with self._db.write() as db:
            db.execute(
                "INSERT OR REPLACE INTO votes (one, other, prompt, preferred, created, voter)"
                " VALUES (:one, :other, :prompt, :preferred, :created, :voter)",
                vote,
            )
            note_vote(self._db.folder, vote)

    def tally(self, first: str, second: str) -> Tally:
        """Votes for `first`, for `second` and for neither."""
        one, other = sorted((first, second))
        sql = "SELECT preferred, COUNT(*) FROM votes WHERE one = ? AND other = ? GROUP BY preferred"
        counts = {word: int(count) for word, count in self._db.read(sql, (one, other))}
        mine, yours = ("one", "other") if first == one else ("other", "one")
        return Tally(counts.get(mine, 0), counts.get(yours, 0), counts.get("neither", 0))

    def prompts(self, first: str, second: str) -> set[str]:
        """Prompts that this pair has a vote on."""
        sql = "SELECT prompt FROM votes WHERE one = ? AND other = ?"
        return {r[0] for r in self._db.read(sql, tuple(sorted((first, second))))}

    def clear(self, first: str, second: str) -> None:
        """Forgets the votes of this pair."""
        one, other = sorted((first, second))
        with self._db.write() as db:
            db.execute("DELETE FROM votes WHERE one = ? AND other = ?", (one, other))
            note_vote(self._db.folder, {"one": one, "other": other, "cleared": True})
