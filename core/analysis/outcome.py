"""What a run came to, for a list of runs: its smallest candidate that lost little, or else the one that lost least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from core.analysis.candidates import Brief
from core.analysis.recommendation import recommend
from core.registry.measurement import Measurement
from core.registry.metrics import metric
from core.store.rows import Judgement


def best(judged: Sequence[Judgement]) -> Judgement | None:
    """The candidate of one run that is recommended (core/analysis/recommendation.py); where none is, the best one.

    None where no candidate but the baseline was judged. Of equals the one with less loss, then the first.
    """
    made = [j for j in judged if not j.baseline and j.loss_change is not None and j.loss_change == j.loss_change]
    told = recommend([_brief(j) for j in made], next((_brief(j) for j in judged if j.baseline), None))
    if told is not None and (chosen := told.best) is not None:
        return next(j for j in made if j.key == chosen.key)
    return min(made, key=lambda j: j.loss_change or 0.0, default=None)


def _brief(j: Judgement) -> Brief:
    figures = {"loss": j.loss, "loss_change": j.loss_change, "disk_bytes": j.disk_bytes}
    return Brief(
        j.key,
        j.label,
        "",
        tuple(Measurement(metric=m, value=v, unit=metric(m).unit) for m, v in figures.items() if v is not None),
    )


def best_of_runs(judged: Iterable[Judgement]) -> dict[str, Judgement]:
    """The same of several runs, by their ids; `judged` goes run by run."""
    found = {run: best(list(of)) for run, of in groupby(judged, lambda j: j.run)}
    return {run: one for run, one in found.items() if one is not None}
