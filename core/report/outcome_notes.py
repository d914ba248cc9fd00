"""What the recipe asserted and what came of it, and the classes that suffer most: a line each in the report."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.asserted import verdicts
from core.analysis.weak_classes import weakest
from core.base.errors import RetortError
from core.recipe.results import Result
from core.store import RunRow


def outcome_notes(
    run: RunRow, results: Sequence[Result], chosen: Sequence[Result], baseline: Result | None
) -> list[str]:
    """Sentences; none where nothing was asserted and nothing classified."""
    try:
        recipe = run.parsed()
    except RetortError:
        asserted = []
    else:
        asserted = verdicts(recipe.asserts, results, recipe.sweep is not None)
    said = [f"Asserted. {verdict.sentence}" for verdict in asserted]
    for candidate in chosen:
        weak = weakest(candidate, baseline)
        if weak:
            said.append(f"{candidate.label}, its weakest classes: {'; '.join(c.words for c in weak)}.")
    return said
