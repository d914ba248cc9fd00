"""Jobs a page asks for beside sweeps and recipes: timing the machine, a hub model, a sensitivity."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.references import Reference
from core.catalogue.rights import refuse_downloads
from core.jobs.actions import ensure_runner, submit, submit_fetch
from core.preflight.check import refuse_impossible
from core.preflight.samples import missing
from core.recipe.names import model_name
from core.recipe.recipe import Recipe
from core.store import Store

NAME_LENGTH = 120


def submit_probe(settings: Settings, actor: Actor) -> str:
    """Queues the timing of this machine, which estimates rest on; returns the id of the run at it already, if any."""
    check(actor, "run")
    return _submit("probe", "Time this machine", "this machine", settings, actor)


def submit_with_samples(recipe: Recipe, settings: Settings, actor: Actor) -> str:
    """Queues the downloads a recipe needs, then the recipe; returns its run's id. The queue keeps the order.

    Raises:
        RetortError: as `core.jobs.actions.queue`, or no right to download.
    """
    fetch_samples(recipe, settings, actor)
    return submit(recipe, settings, actor)


def fetch_samples(recipe: Recipe, settings: Settings, actor: Actor) -> None:
    """Queues the downloads a recipe needs.

    Raises:
        RetortError: a full queue, or no right to.
    """
    for needed in missing(recipe, settings):
        submit_fetch(needed.id, settings, actor)


def submit_download(reference: str, settings: Settings, actor: Actor) -> str:
    """Queues the download of a hub model; returns the id of the run at it already, if there is one.

    Raises:
        RetortError: that is no model reference, the queue is full, or no right to.
    """
    check(actor, "fetch")
    name = str(Reference.parse(reference))
    return _submit("download", f"Download {name}", name, settings, actor)


def submit_sensitivity(spec: SensitivitySpec, settings: Settings, actor: Actor) -> str:
    """Queues a sensitivity measurement; returns its run's id.

    Raises:
        RetortError: the method or the texts do not fit the model, the queue is full, or no right to.
    """
    check(actor, "run")
    document = spec.model_dump(mode="json")
    refuse_downloads(document, settings, actor)
    refuse_impossible(spec.recipe(), settings)
    run_id = Store(settings).runs.add(
        "sensitivity",
        one_line(f"Sensitivity of {model_name(spec.model)}", 120),
        spec.model,
        document,
        max_queued=settings.limits.queued_runs,
        actor=actor,
    )
    ensure_runner(settings)
    return run_id


def submit_timing(run_id: str, keys: Sequence[str], settings: Settings, actor: Actor) -> str:
    """Queues the timing of a run's candidates beside the dense model, and nothing else; returns the timing's run.

    One candidate that is being timed already is not queued twice.

    Raises:
        RetortError: no such run or candidate, the run goes on still, the queue is full, or no right to.
    """
    check(actor, "run")
    store = Store(settings)
    run = store.runs.get(run_id)
    if run.active:
        raise RetortError(f"'{run.name}' has not ended yet.", "Wait until it has, then time its candidates again.")
    heads = {h.key: h for h in store.columns.heads(run_id)}
    if not keys or not all(k in heads for k in keys):
        raise RetortError(f"'{run.name}' has no such candidate.", "Choose one of its candidates.")
    what = heads[keys[0]].label if len(keys) == 1 else f"{len(keys)} models of {run.name}"
    timing = store.runs.add(
        "time",
        f"Time {what} again"[:NAME_LENGTH],
        f"run:{run_id}/{keys[0]}",
        {"run": run_id, "candidates": list(keys)},
        max_queued=settings.limits.queued_runs,
        join_active=len(keys) == 1,
        actor=actor,
    )
    ensure_runner(settings)
    return timing


def _submit(kind: str, name: str, model: str, settings: Settings, actor: Actor) -> str:
    run_id = Store(settings).runs.add(
        kind,
        one_line(name, 120),
        model,
        {},
        max_queued=settings.limits.queued_runs,
        join_active=True,
        actor=actor,
    )
    ensure_runner(settings)
    return run_id
