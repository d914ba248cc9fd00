"""Recipes as YAML files: read with every problem named, written so that they read back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from core.base.errors import RetortError
from core.base.settings import Limits
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.base.yaml_io import Document, dump
from core.recipe.messages import problems
from core.recipe.recipe import Recipe

_COMBINATIONS = 10_000


class RecipeError(RetortError):
    """A recipe with problems; `problems` holds a sentence for each, with its path in the file and its line.

    Of very many problems it holds the first ones; `total` counts them all.
    """

    def __init__(self, found: list[str], total: int) -> None:
        count = "a problem" if total == 1 else f"{total:,} problems"
        first = f"; the first {len(found)}" if total > len(found) else ""
        super().__init__(f"The recipe has {count}{first}: {' '.join(found)}", "Correct it, then try again.")
        self.total = total
        self.problems = found


def load_recipe(source: Path | str, limits: Limits | None = None) -> Recipe:
    """The recipe in a file (`Path`) or a text (`str`), checked before any work.

    Raises:
        RetortError: it cannot be read, is too large, or is not plain YAML.
        RecipeError: keys or values are wrong; they are named (of very many, the first ones).
    """
    most = (limits or Limits()).recipe_bytes
    text = _read(source, most) if isinstance(source, Path) else source
    if len(text.encode("utf-8", "replace")) > most:
        raise _too_large(most)
    document = Document(text)
    if not isinstance(document.data, dict):
        raise RetortError(
            "The recipe is empty." if document.data is None else "The recipe does not consist of keys with values.",
            "Start from one of the files in examples/.",
        )
    _refuse_explosion(document)
    try:
        return Recipe.model_validate(document.data)
    except ValidationError as failed:
        raise RecipeError(*problems(failed, document)) from None


def _refuse_explosion(document: Document) -> None:
    """Refuses a grid of very many combinations before they are written out, as a few lists can mean millions."""
    sweep = document.data.get("sweep")
    grids = sweep.get("grid") if isinstance(sweep, dict) else None
    trials = 0
    for index, grid in enumerate(grids if isinstance(grids, list) else []):
        trials += _combinations(grid) if isinstance(grid, dict) else 0
        if trials > _COMBINATIONS:
            line = document.line(("sweep", "grid", index))
            raise RecipeError(
                [f"sweep.grid[{index}] (line {line}): the lists mean more than {_COMBINATIONS:,} candidates."], 1
            )


def _combinations(grid: dict[str, Any]) -> int:
    """Trials of one grid entry, at most."""
    size = {name: len(value) for name, value in grid.items() if isinstance(value, list) and value}
    amounts = size.get("pattern", 1) * size.get("sparsity", 1) + size.get("target", 0)
    return size.get("method", 1) * size.get("seeds", 1) * amounts


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `load_recipe` reads back equal. Defaults are written out: the file means the same in later versions."""
    return dump(_plain(recipe))


def _plain(value: Any) -> Any:
    """Plain data; fields that are left out by default (None, an empty list) stay out."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {k: _plain(v) for k, v in value if not (v in (None, ()) and v == fields[k].default)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _read(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        raise RetortError(
            f"There is no file '{one_line(str(path), 200)}'.", "Check the path; examples/ holds recipes that run."
        ) from None
    except (OSError, ValueError) as error:
        raise RetortError(
            f"'{one_line(str(path), 200)}' cannot be read ({reason(error)}).", "Give the path of a YAML file."
        ) from None
    if len(raw) > most:
        raise _too_large(most)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RetortError(f"'{one_line(str(path), 200)}' is not UTF-8 text.", "Give the path of a YAML file.") from None


def _too_large(most: int) -> RetortError:
    return RetortError(f"The recipe is larger than {most // 1000} kB.", "Split it into several recipes.")
