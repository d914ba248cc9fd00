"""`check`: everything a recipe needs, looked up before anything runs."""

from __future__ import annotations

import argparse

from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.references import resolve
from core.commands.runs import refuse_what_is_not_here
from core.commands.terminal import put, put_json, put_pairs
from core.data.columns import meaning_of
from core.data.tables import open_data
from core.jobs import actions
from core.preflight.data import Source, sources
from core.preflight.disk import disk_bytes
from core.preflight.notes import beforehand
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from core.registry.formatting import show_bytes, show_count


def check(chosen: argparse.Namespace, settings: Settings) -> int:
    """Models, texts, columns, classes, amounts, memory and disk of all steps; nothing is run.

    Raises:
        RetortError: what speaks against the recipe, with the step, the file and its columns.
    """
    recipe = load_recipe(chosen.recipe, settings.limits)
    refuse_what_is_not_here(recipe, settings)
    actions.check_recipe(recipe, settings)
    rows = _looked_up(recipe, settings)
    remarks = beforehand(recipe, settings)
    if chosen.json:
        put_json({"recipe": recipe.name, "found": [{"what": w, "is": s} for w, s in rows], "remarks": remarks})
        return 0
    put_pairs([("Recipe", recipe.name), *rows])
    for remark in remarks:
        put(f"Note: {remark}")
    put("Nothing speaks against it. Nothing was run.")
    return 0


def _looked_up(recipe: Recipe, settings: Settings) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    if recipe.model.startswith("hub:"):
        rows.append(("Model", f"{recipe.model}, which the hub is asked for when the run starts"))
    else:
        found = anatomy(resolve(recipe.model, settings, None).folder)
        rows.append(("Model", f"{recipe.model}: {found.architecture}, {show_count(found.parameters)} parameters"))
        rows.append(("Disk, at most", show_bytes(disk_bytes(recipe, found.disk_bytes))))
    return [*rows, *((source.place, _read(source, settings)) for source in sources(recipe))]


def _read(source: Source, settings: Settings) -> str:
    kind, _, name = source.data.partition(":")
    if kind == "hub":
        return f"{source.data}, which the hub is asked for when the run starts"
    if kind != "path":
        return source.data
    rows = open_data(name, settings)
    columns = meaning_of(rows, source.columns, source.use).columns
    read = ", ".join(f"{what.replace('_', ' ')} from '{column}'" for what, column in columns if column is not None)
    return f"{source.data}: {rows.form}, {read}"
