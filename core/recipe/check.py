"""The one check of recipes: what a file, a page's form or a dictionary in Python says, with every problem named."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from core.base.errors import RetortError
from core.base.plain_data import Path, plain
from core.base.settings import Limits
from core.base.text import one_line
from core.recipe.heal import with_usual_heal
from core.recipe.messages import place, problems
from core.recipe.parts import Columns
from core.recipe.recipe import Recipe

_COMBINATIONS = 10_000

Line = Callable[[Path], int]
"""The line of a file on which the value at a path stands."""


class RecipeError(RetortError):
    """A recipe with problems; `problems` holds a sentence for each, with its path and, in a file, its line.

    Of very many problems it holds the first ones; `total` counts them all.
    """

    def __init__(self, found: list[str], total: int) -> None:
        count = "a problem" if total == 1 else f"{total:,} problems"
        first = f"; the first {len(found)}" if total > len(found) else ""
        super().__init__(f"The recipe has {count}{first}: {' '.join(found)}", "Correct it, then try again.")
        self.total = total
        self.problems = found


def check_recipe(data: Mapping[str, object], limits: Limits | None = None) -> Recipe:
    """The recipe that keys and values mean, under the same bounds and rules as a file of them.

    Raises:
        RetortError: it is too large, too deep, or holds what is no plain data.
        RecipeError: keys or values are wrong; they are named (of very many, the first ones).
    """
    return check_plain(plain(data, (limits or Limits()).recipe_bytes))


def check_plain(data: dict[str, object], line: Line | None = None) -> Recipe:
    """The same of plain data within the bounds; `line` tells where in its file a value stands.

    Raises:
        RecipeError: as `check_recipe`.
    """
    _refuse_explosion(data, line)
    try:
        return Recipe.model_validate(with_usual_heal(data))
    except ValidationError as failed:
        raise RecipeError(*problems(failed, data, line)) from None


def check_columns(data: Mapping[str, object]) -> Columns:
    """The columns that names mean, checked as a recipe's are.

    Raises:
        RetortError: another key.
        RecipeError: a name that is none.
    """
    strange = [key for key in data if key not in Columns.model_fields]
    if strange:
        known = ", ".join(Columns.model_fields)
        raise RetortError(f"'{one_line(strange[0], 60)}' is nothing that a column can mean.", f"Use {known}.")
    try:
        return Columns.model_validate(dict(data))
    except ValidationError as failed:
        raise RecipeError(*problems(failed, dict(data), None)) from None


def _refuse_explosion(data: dict[str, object], line: Line | None) -> None:
    """Refuses a grid of very many combinations before they are written out, as a few lists can mean millions."""
    sweep = data.get("sweep")
    grids = sweep.get("grid") if isinstance(sweep, dict) else None
    trials = 0
    for index, grid in enumerate(grids if isinstance(grids, list) else []):
        trials += _combinations(grid) if isinstance(grid, dict) else 0
        if trials > _COMBINATIONS:
            where = place(("sweep", "grid", index), line)
            raise RecipeError([f"{where}: the lists mean more than {_COMBINATIONS:,} candidates."], 1)


def _combinations(grid: dict[str, object]) -> int:
    """Trials of one grid entry, at most."""
    size = {name: len(value) for name, value in grid.items() if isinstance(value, list) and value}
    amounts = size.get("pattern", 1) * size.get("sparsity", 1) + size.get("target", 0)
    return size.get("method", 1) * size.get("seeds", 1) * amounts
