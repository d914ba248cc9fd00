"""A study in one or two sentences: what was really gained, at what price, and what was only zeroed."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.differences import examples
from core.analysis.promised_vs_measured import find, verdict
from core.recipe.results import Result
from core.registry.formatting import show


def headline(results: Sequence[Result]) -> str:
    """Plain sentences on the two candidates of a study that are shown first; empty while there is nothing to tell."""
    baseline = next((r for r in results if r.baseline), None)
    candidates = [r for r in results if not r.baseline]
    if baseline is None or not candidates:
        return ""
    said = []
    for candidate in reversed(examples(candidates, "perplexity")):
        mine, dense = find(candidate, "perplexity"), find(baseline, "perplexity")
        if mine is None or dense is None:
            continue
        quality = f"perplexity {show('perplexity', dense.value)} becomes {show('perplexity', mine.value)}"
        said.append(f"{candidate.label}: {quality}. {verdict(candidate, baseline)}")
    return " ".join(said)
