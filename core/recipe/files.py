"""Recipes as YAML files: read with every problem named, written so that they read back equal."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from core.base.errors import RetortError
from core.base.plain_data import too_large
from core.base.settings import Limits
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.base.yaml_io import Document, dump
from core.recipe.check import check_plain
from core.recipe.recipe import Recipe


def load_recipe(source: Path | str, limits: Limits | None = None) -> Recipe:
    """The recipe in a file (`Path`) or a text (`str`), checked before any work.

    Raises:
        RetortError: it cannot be read, is too large, or is not plain YAML.
        RecipeError: keys or values are wrong; they are named (of very many, the first ones).
    """
    most = (limits or Limits()).recipe_bytes
    text = _read(source, most) if isinstance(source, Path) else source
    if len(text.encode("utf-8", "replace")) > most:
        raise too_large(most)
    document = Document(text)
    if not isinstance(document.data, dict):
        raise RetortError(
            "The recipe is empty." if document.data is None else "The recipe does not consist of keys with values.",
            "Start from one of the files in examples/.",
        )
    return check_plain(document.data, document.line)


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `load_recipe` reads back equal. Defaults are written out: the file means the same in later versions."""
    return dump(_plain(recipe))


def _plain(value: object) -> object:
    """Plain data; fields that are left out by default (None, an empty list) stay out."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        said = {k: v for k, v in value if not (v in (None, ()) and v == fields[k].default)}
        return {fields[k].serialization_alias or k: _plain(v) for k, v in said.items()}
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
        raise too_large(most)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RetortError(f"'{one_line(str(path), 200)}' is not UTF-8 text.", "Give the path of a YAML file.") from None
