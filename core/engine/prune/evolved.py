"""Which layers to remove, by an evolutionary search for the healed model nearest to the dense one.

A change brings a layer or two back, and as many others go; promising is what the maps of the runs leave
(`core.engine.prune.folded_runs`). Sieberling et al. 2024, EvoPress, with healing in the judgement.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.engine.prune.depth import DepthContext
from core.engine.prune.evolution import Evolution
from core.engine.prune.folded_runs import FoldedRuns, search_windows
from core.engine.prune.judging import Judge
from core.recipe.recipe import Target
from core.registry.methods import METHODS

Gone = tuple[int, ...]


def evolved(context: DepthContext) -> list[int]:
    """The layers whose absence leaves the healed model nearest to the dense one, then the others.

    The same seed (0) each time. The KL divergence of the best choice after each generation is a live series.

    Raises:
        RetortError: no calibration text, or a model that does not predict the next token.
    """
    fitted, judged = search_windows(context, "evolved", "Searching for layers")
    with torch.no_grad():
        gone = _searched(context, FoldedRuns(context, fitted), judged) if context.count else ()
    return [*gone, *(i for i in context.removable if i not in gone)]


def _searched(context: DepthContext, folded: FoldedRuns, judged: torch.Tensor) -> Gone:
    judge = Judge[Gone](context.model, judged, folded.without, context.reporter)
    name = f"{METHODS['evolved'].label}, {Target(remove_layers=context.count).label()}"
    search = Evolution(Layers(context, folded), judge, context.reporter, name, "layers")
    best, divergence = search.run()
    context.notes.append(
        f"{judge.count} judgements of layers to remove, after healing, on up to {judge.windows} "
        f"calibration windows; the best leaves a KL divergence of {divergence:.3f} nats from the dense model."
    )
    return best


@dataclass
class Layers:
    """Choices of `context.count` layers that go, ascending."""

    context: DepthContext
    folded: FoldedRuns

    def starts(self) -> list[Gone]:
        """The best row, and the layers that are made up for best one after another."""
        return [self.folded.greedy(self.context.count), *(tuple(row) for row in self.folded.rows()[:1])]

    def changed(self, choice: Gone, dice: random.Random) -> Gone:
        return swapped(choice, self.context.removable, dice)

    def lacking(self, choice: Gone) -> float:
        return self.folded.lacking(choice)


def swapped(gone: Gone, removable: Sequence[int], dice: random.Random) -> Gone:
    """One or two of the layers that are gone come back, and as many others go; none where there are no others."""
    kept = [i for i in removable if i not in gone]
    count = min(dice.choice((1, 1, 2)), len(kept), len(gone))
    back = dice.sample(gone, count)
    return tuple(sorted({*gone, *dice.sample(kept, count)} - set(back)))
