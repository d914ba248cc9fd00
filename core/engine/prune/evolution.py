"""An evolutionary search for the choice that leaves the model nearest to the dense one, coarse to fine.

Each generation changes the best choice so far. The most promising changes are judged on a few windows, the best of them
on all, and only a better one takes over. Sieberling et al. 2024, EvoPress; Li et al. 2025, Tyr-the-Pruner.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from core.base.progress import Reporter
from core.engine.prune.judging import Judge

_DRAWN, _JUDGED, _FINALISTS = 48, 8, 3
"""Changes a generation: drawn, judged on a few windows, judged on all."""
_FEW = 2
_GENERATIONS, _PATIENCE = 16, 4
"""Generations at most, and how many without a better choice end the search."""

Choice = TypeVar("Choice")


class Space(Protocol[Choice]):
    """What there is to choose from."""

    def starts(self) -> list[Choice]:
        """Choices to begin with, at least one."""

    def changed(self, choice: Choice, dice: random.Random) -> Choice:
        """Another choice near this one, within the same budget."""

    def lacking(self, choice: Choice) -> float:
        """What a choice is expected to lack, without running the model: less is more promising."""


@dataclass
class Evolution(Generic[Choice]):
    """The same search each time for the same seed and judgements.

    Attributes:
        name: what the live series is called after `search/`: KL of the best choice, by the judgements made until then.
        what: what is searched for, in sentences.
        curve: judgements so far and KL of the best choice on all windows, whenever a better one was found, and at the
            end of each generation.
    """

    space: Space[Choice]
    judge: Judge[Choice]
    reporter: Reporter
    name: str
    what: str
    seed: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)

    def run(self) -> tuple[Choice, float]:
        """The best choice, and its KL divergence from the dense model on all windows."""
        dice, every = random.Random(self.seed), self.judge.windows
        first, *others = sorted(sorted(self.space.starts(), key=repr), key=self.space.lacking)
        self._judged(first)
        best = self._best(others, first)
        unchanged = 0
        for generation in range(_GENERATIONS):
            now = self.judge.divergence(best, every)
            self._tell(now)
            self.reporter.progress(generation, _GENERATIONS, f"Searching for {self.what}: KL {now:.3f}.")
            if unchanged == _PATIENCE:
                break
            changes = {self.space.changed(best, dice) for _ in range(_DRAWN)} - {best}
            near = sorted(sorted(changes, key=repr), key=self.space.lacking)[:_JUDGED]
            winner = self._best(near, best)
            unchanged = unchanged + 1 if winner == best else 0
            best = winner
        return best, self.judge.divergence(best, every)

    def _best(self, choices: list[Choice], so_far: Choice) -> Choice:
        """The best of some choices: all on a few windows, where they are many, then the first of them on all."""
        few = min(_FEW, self.judge.windows)
        if len(choices) > _FINALISTS:
            choices = sorted(choices, key=lambda c: self.judge.divergence(c, few))[:_FINALISTS]
        return min([so_far, *choices], key=self._judged)

    def _judged(self, choice: Choice) -> float:
        """On all windows; a better one than all before is a point of the curve."""
        found = self.judge.divergence(choice, self.judge.windows)
        if not self.curve or found < self.curve[-1][1]:
            self._tell(found)
        return found

    def _tell(self, best: float) -> None:
        point = (self.judge.count, best)
        if point not in self.curve[-1:]:
            self.curve.append(point)
            self.reporter.series(f"search/{self.name}", *point)
