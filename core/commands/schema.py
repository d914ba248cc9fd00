"""`schema`: the JSON Schema of recipes, or the reference of their keys."""

from __future__ import annotations

import argparse

from core.base.settings import Settings
from core.commands.terminal import put, put_json
from core.recipe import schema as recipes


def register(command: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    command.add_argument("--reference", action="store_true", help="print docs/recipes.md instead")


def show(chosen: argparse.Namespace, settings: Settings) -> int:
    """Prints the schema; an editor that is told of it completes recipes and marks what is wrong in them."""
    if chosen.reference:
        put(recipes.reference().rstrip())
    else:
        put_json(recipes.schema())
    return 0
