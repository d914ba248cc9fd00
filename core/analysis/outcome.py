"""What a run came to, for a list of runs: its smallest candidate that lost little, or else the one that lost least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from core.store.rows import Judgement

ALLOWED = 0.05
"""Share of the baseline's loss that a candidate may lose and still count as small by its size."""


def best(judged: Sequence[Judgement]) -> Judgement | None:
    """The smallest of one run's candidates within `ALLOWED` of the baseline's loss; where none is, the best one.

    None where no candidate but the baseline was judged. Of equals the one with less loss, then the first.
    """
    dense = next((j.loss for j in judged if j.baseline and j.loss is not None), None)
    made = [(j, j.loss_change, j.disk_bytes) for j in judged if not j.baseline]
    found = [(j, change, size) for j, change, size in made if change is not None and change == change]
    if dense is not None:
        within = [(size, change, i) for i, (_, change, size) in enumerate(found) if size and change <= ALLOWED * dense]
        if within:
            return found[min(within)[2]][0]
    least = min(((change, i) for i, (_, change, _) in enumerate(found)), default=None)
    return found[least[1]][0] if least is not None else None


def best_of_runs(judged: Iterable[Judgement]) -> dict[str, Judgement]:
    """The same of several runs, by their ids; `judged` goes run by run."""
    found = {run: best(list(of)) for run, of in groupby(judged, lambda j: j.run)}
    return {run: one for run, one in found.items() if one is not None}
