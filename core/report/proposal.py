"""The headline a report has until its author writes one."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.headline import headline
from core.analysis.promised_vs_measured import find, verdict
from core.recipe.results import Result
from core.registry.formatting import show
from core.registry.methods import method
from core.store import RunRow


def proposal(results: Sequence[Result], chosen: Sequence[Result], run: RunRow) -> str:
    """What the figures of the chosen candidates say against the original; without an original, which model it was."""
    baseline = next((r for r in results if r.baseline), None)
    if baseline is None:
        return f"What became of {run.model}"
    smaller = (c for c in chosen if (known := method(c.method)) is not None and known.structured)
    if told := headline([baseline, next(smaller, chosen[0])]):
        return told
    last = chosen[-1]
    accuracy = find(last, "accuracy")
    if accuracy is not None:
        return f"{last.label}: accuracy {show('accuracy', accuracy.value)}. {verdict(last, baseline)}"
    return f"What became of {run.model}"
