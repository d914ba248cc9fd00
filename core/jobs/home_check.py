"""The home as a whole: is everything in it as it was written, and making its index again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.base.integrity import damage, sealed_in
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.catalogue.samples import sample_damage
from core.catalogue.saved_models import model_damage
from core.recipe.records import makes_again, run_makes_again
from core.registry.additions import ADDED
from core.registry.samples import SAMPLES
from core.store import Store, rebuild
from core.store.checking import Problem
from core.store.problems import plain_errors

_NEEDED = "Nothing has to be done: it is made again when it is needed."


def check_home(settings: Settings) -> list[Problem]:
    """Reads everything Retort saved itself and compares it with its sums and with the index. Changes nothing.

    Raises:
        RetortError: the index stays locked, or comes from a newer version.
    """
    found = [Problem("package " + one.package, one.cause, one.remedy) for one in ADDED.broken]
    why = rebuild.fault(settings.database, thorough=True) if settings.home.is_dir() else "was missing"
    if why is not None and (settings.runs.is_dir() or settings.database.exists()):
        remedy = "Any command makes it again from the folders, as 'python -m core home rebuild' does."
        found.append(Problem(settings.database.name, f"The index {why}.", remedy))
    elif why is None:
        store = Store(settings)
        found += store.differences()
        found += _models(store, settings)
    found += _sealed(settings)
    for one in SAMPLES.values():
        wrong = sample_damage(one, settings)
        if wrong is not None and not any(p.where == f"samples/{one.id}" for p in found):
            found.append(_sample(one.id, wrong))
    return found


def rebuild_home(settings: Settings, actor: Actor) -> str:
    """Makes the index again from the folders, after they got what only the index knew; returns what was done.

    Raises:
        RetortError: no right to, or the home cannot be written.
    """
    check(actor, "rebuild")
    path = settings.database
    with plain_errors(settings.home):
        why = rebuild.fault(path, thorough=True)
        if why is None:
            Store(settings)  # migrates an older one first
        with rebuild.alone(settings.home):
            if why is not None:
                return rebuild.remake(path, why) or "This home is empty: there is nothing to make an index from."
            return rebuild.renew(path)


def _models(store: Store, settings: Settings) -> Iterator[Problem]:
    """Kept models that have no sums yet, or no folder."""
    for row in store.candidates.rows(saved=True):
        folder = store.candidates.folder(row.key) / "model"
        wrong = model_damage(folder) if not folder.is_dir() or damage(folder) is None else None
        if wrong is not None:
            cause = f"The model of '{row.label}' is damaged: {wrong}."
            yield Problem(f"candidates/{row.key}/model", cause, makes_again(row.key, settings))


def _sealed(settings: Settings) -> Iterator[Problem]:
    home = settings.home
    for path in sealed_in(home, deep=True):
        where = path.relative_to(home)
        wrong = damage(path, thorough=True)
        if wrong is None or where.parts[0] == "trash" or (path.name == "model" and not path.is_dir()):
            continue
        yield (
            _sample(path.name, wrong)
            if where.parts[0] == "samples"
            else Problem(str(where), f"It is damaged: {wrong}.", _remedy(where, settings))
        )


def _sample(sample_id: str, wrong: str) -> Problem:
    remedy = f"Fetch it again: python -m core fetch {sample_id}"
    return Problem(f"samples/{sample_id}", f"The sample is damaged: {wrong}.", remedy)


def _remedy(where: Path, settings: Settings) -> str:
    place, name = where.parts[0], where.parts[1] if len(where.parts) > 1 else ""
    if place == "candidates" and where.name == "result.json":
        return "'python -m core home rebuild' writes it again where the index has it."
    if place == "candidates":
        return makes_again(name, settings)
    if place == "runs" and "checkpoints" not in where.parts:
        return run_makes_again(name, settings)
    return _NEEDED
