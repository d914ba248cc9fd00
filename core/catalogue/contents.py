"""Which bytes does a recipe read? Every text, set and further model it names, by content and not by place.

`pinned` fixes what the hub may move; `contents_of` then says, for each reference, what identifies its bytes. A path
that is overwritten, or a sample whose files were changed, is another input.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from core.base.roles import Actor, may
from core.base.settings import Settings
from core.catalogue.data_files import data_files
from core.catalogue.fingerprint import remembered_hash
from core.catalogue.hub import dataset_commit
from core.catalogue.references import resolve
from core.catalogue.samples import is_fetched
from core.recipe.recipe import Recipe
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS

ABSENT = "absent"
"""What stands for a file that is not there: reading it says why, in better words."""
_DATA, _MODELS = ("data",), ("teacher", "student")
_TASKS = "tasks"


def pinned(recipe: Recipe, settings: Settings, actor: Actor) -> Recipe:
    """The recipe with every hub data set, teacher and student at a commit, so that a moved branch cannot change a run.

    The recipe's own model stays as it is called: a session resolves it once.

    Raises:
        RetortError: the hub knows no such data set, revision or model.
    """
    seen: dict[tuple[str, str], str] = {}

    def pin(field: str, reference: str) -> str:
        if not reference.startswith("hub:"):
            return reference
        if (field, reference) not in seen:
            seen[field, reference] = (
                str(resolve(reference, settings, actor).reference)
                if field in _MODELS
                else _pinned_data(reference, settings, actor)
            )
        return seen[field, reference]

    document = recipe.model_dump(mode="json")
    return Recipe.model_validate(_replaced(document, pin)) if "hub:" in str(document) else recipe


def contents_of(recipe: Recipe, settings: Settings, actor: Actor) -> dict[str, str]:
    """What identifies the bytes behind each reference of a recipe, by the reference; its own model is left out.

    Task sets stand under `task:NAME`. Files are hashed once and remembered while they stay untouched.

    Raises:
        RetortError: a teacher or student is not there, or a path lies outside the roots.
    """
    found = {d: content_of(d, settings, actor) for d in _references(recipe.model_dump(mode="json"), _DATA)}
    for step in recipe.trainings:
        for model in (step.teacher, step.student):
            if ":" in model and step.earlier_step is None:
                found[model] = resolve(model, settings, actor).fingerprint
    for task in recipe.evaluation.tasks:
        found[f"task:{task}"] = _task(task, settings)
    return dict(sorted(found.items()))


def content_of(data: str, settings: Settings, actor: Actor) -> str:
    """What identifies the bytes of a text or labelled set; `ABSENT` where they are not there.

    `path:`: the files' bytes and endings; `sample:`: all files of the sample, and the part; `hub:`: the commit.

    Raises:
        RetortError: the path lies outside the roots, does not exist or holds no data.
    """
    kind, _, name = data.partition(":")
    if kind == "path":
        return _data_files(name, settings)
    if kind == "sample":
        sample_id, _, part = name.partition("/")
        wanted = SAMPLES.get(sample_id)
        if wanted is None or not is_fetched(wanted, settings):
            return ABSENT
        return f"{_files(_inside(wanted.folder(settings)), settings)} {part}".strip()
    return _pinned_data(data, settings, actor)


def _data_files(name: str, settings: Settings) -> str:
    found = data_files(name, settings)
    several = {path.parent for path in found.files}
    folders = [path.parent.name for path in found.files] if len(several) > 1 else []  # texts may have them for classes
    content = _files(found.files, settings)
    return hashlib.sha256("\n".join([content, *folders]).encode()).hexdigest()[:32] if folders else content


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The references whose content is another one than before."""
    return [reference for reference in now if before.get(reference, now[reference]) != now[reference]]


def _references(value: Any, fields: tuple[str, ...]) -> Iterator[str]:
    """The texts that stand in one of `fields`, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in fields and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner, fields)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, fields)


def _replaced(value: Any, pin: Callable[[str, str], str]) -> Any:
    if isinstance(value, dict):
        return {
            n: pin(n, v) if n in (*_DATA, *_MODELS) and isinstance(v, str) else _replaced(v, pin)
            for n, v in value.items()
        }
    return [_replaced(v, pin) for v in value] if isinstance(value, list) else value


def _pinned_data(reference: str, settings: Settings, actor: Actor) -> str:
    """`hub:org/name/configuration@commit`; as it is where neither the hub nor the local cache knows its commit."""
    name, _, revision = reference.removeprefix("hub:").partition("@")
    repository = "/".join(name.split("/")[:2])
    asked = dataset_commit(repository, revision or None, may(actor, "fetch"))
    commit = asked or _cached_commit(repository, revision or "main")
    return f"hub:{name}@{commit}" if commit else reference


def _cached_commit(repository: str, revision: str) -> str | None:
    from huggingface_hub import constants

    note = Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}" / "refs" / revision
    try:
        return note.read_text("utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _task(task: str, settings: Settings) -> str:
    """The files of one task's items; of all sets for a task that only another scorer knows."""
    known = TASK_SETS.get(task)
    if known is not None and known.brought:
        return _files(_inside(Path(known.folder)), settings)
    sample = SAMPLES[_TASKS]
    if not is_fetched(sample, settings):
        return ABSENT
    folder = sample.folder(settings)
    return _files(_inside(folder / known.folder if known else folder), settings)


def _inside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("retort-"))


def _files(paths: Iterable[Path], settings: Settings) -> str:
    """One hash of the contents of files, in order, and of their endings: they decide how a file is read."""
    parts = [os.fsencode(p.suffix) + f" {remembered_hash(p, settings)}".encode() for p in paths]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:32]
