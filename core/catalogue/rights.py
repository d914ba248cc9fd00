"""Downloading is a right: asked where a model, a text or a set would come over the network, and before a run is queued.

A run acts for whoever started it last (`RunRow.actor`), so its worker may download no more than they may.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.base.roles import Actor, may, not_here
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.catalogue.samples import is_fetched
from core.recipe.references import data_set_parts
from core.registry.tasks import TASK_SETS

_MODELS = ("model", "teacher", "student")


def refuse_downloads(document: dict[str, Any], settings: Settings, actor: Actor) -> None:
    """Refuses a recipe, or what a sensitivity is asked for, that would download where its author may not.

    Args:
        document: its plain data.
    Raises:
        RetortError: names the first thing that is not on this disk.
    """
    if may(actor, "fetch"):
        return
    for field, reference in _hub(document):
        if field in _MODELS:
            resolve(reference, settings, actor)
        elif not has_data_set(reference.removeprefix("hub:")):
            raise not_here(reference)
    refuse_remote_tasks(document.get("evaluation") or {}, settings, actor)


def refuse_remote_tasks(evaluation: dict[str, Any], settings: Settings, actor: Actor) -> None:
    """Refuses tasks whose items lm-evaluation-harness would download, where that is not allowed.

    Raises:
        RetortError: names the first of them.
    """
    if may(actor, "fetch") or evaluation.get("scorer") != "lm-eval":
        return
    here = is_fetched("tasks", settings)
    for task in evaluation.get("tasks", ()):
        if not here or task not in TASK_SETS:
            raise not_here(f"The task '{task}'")


def has_data_set(name: str) -> bool:
    """Whether something of a hub data set lies in the local caches; what is whole is known when it is read."""
    from huggingface_hub import constants

    parts = data_set_parts(name)
    if parts is None:
        return False
    prepared = os.environ.get("HF_DATASETS_CACHE") or str(Path(constants.HF_HOME) / "datasets")
    files = Path(constants.HF_HUB_CACHE) / f"datasets--{parts[0].replace('/', '--')}" / "snapshots"
    return files.is_dir() or (Path(prepared) / parts[0].replace("/", "___").lower()).is_dir()


def _hub(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """(field, reference) of everything that names the hub, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _hub(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _hub(inner, field)
    elif isinstance(value, str) and value.startswith("hub:") and field in (*_MODELS, "data"):
        yield field, value
