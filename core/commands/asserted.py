"""What a run's recipe asserts, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from core.analysis.asserted import Verdict, verdicts
from core.base.errors import RetortError
from core.recipe.results import Result
from core.store import RunRow

BROKEN = 3
"""The exit status of a run that ended well and does not keep what its recipe asserts."""


def verdicts_of(run: RunRow, results: Sequence[Result]) -> list[Verdict]:
    """The assertions of a run's recipe with their outcome; none of a run that is no recipe."""
    try:
        recipe = run.parsed()
    except RetortError:
        return []
    return verdicts(recipe.asserts, results, recipe.sweep is not None)


def asserted_of(run: RunRow, results: Sequence[Result]) -> list[dict[str, object]]:
    """The same for a document."""
    return [asdict(v) for v in verdicts_of(run, results)]
