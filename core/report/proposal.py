"""What a report recommends, and the headline it has until its author writes one."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.promised_vs_measured import find, verdict
from core.analysis.recommendation import Recommendation, recommend
from core.analysis.recommendation_words import about, sentence
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.metrics import metric
from core.store import RunRow


def proposal(told: Recommendation | None, chosen: Sequence[Result], results: Sequence[Result], run: RunRow) -> str:
    """What is recommended, and before it what the first of the chosen ones is, where that is another.

    Without an original, which model it was.
    """
    if told is not None:
        own = "" if chosen[0].key in told.shown else f"{about(told, chosen[0].key)} "
        return f"{own}{sentence(told)}"
    dense, last = next((r for r in results if r.baseline), None), chosen[-1]
    accuracy = find(last, "accuracy")
    if dense is not None and accuracy is not None:
        return f"{last.label}: accuracy {show('accuracy', accuracy.value)}. {verdict(last, dense)}"
    return f"What became of {run.model}"


def recommended(
    results: Sequence[Result],
    axes: tuple[str, str] | None,
    limits: Sequence[tuple[str, float]],
    share: float | None,
) -> Recommendation | None:
    """What the figures of a study speak for; what is made small is the cost that the reader looks at."""
    cost = axes[0] if axes and metric(axes[0]).role == "cost" else None
    dense = next((r for r in results if r.baseline), None)
    return recommend([r for r in results if not r.baseline], dense, cost=cost, limits=dict(limits), share=share)
