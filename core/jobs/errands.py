"""Jobs a page asks for beside sweeps and recipes: timing the machine, a hub model, a sensitivity. Light."""

from __future__ import annotations

from core.analysis.sensitivity import SensitivitySpec
from core.catalogue.references import Reference
from core.jobs.api import ensure_runner
from core.preflight.check import refuse_impossible
from core.roles import check
from core.settings import Settings
from core.store import Store


def submit_probe(settings: Settings) -> str:
    """Queues the timing of this machine, which estimates rest on; returns the id of the run at it already, if any."""
    check(settings.actor, "run")
    return _submit("probe", "Time this machine", "this machine", settings)


def submit_download(reference: str, settings: Settings) -> str:
    """Queues the download of a hub model; returns the id of the run at it already, if there is one.

    Raises:
        RetortError: that is no model reference, the queue is full, or no right to.
    """
    check(settings.actor, "fetch")
    name = str(Reference.parse(reference))
    return _submit("download", f"Download {name}", name, settings)


def submit_sensitivity(spec: SensitivitySpec, settings: Settings) -> str:
    """Queues a sensitivity measurement; returns its run's id.

    Raises:
        RetortError: the method or the texts do not fit the model, the queue is full, or no right to.
    """
    check(settings.actor, "run")
    refuse_impossible(spec.recipe(), settings)
    run_id = Store(settings).runs.add(
        "sensitivity", f"Sensitivity of {spec.model}", spec.model, spec.model_dump(mode="json"),
        max_queued=settings.limits.queued_runs, started_by=settings.actor.name,
    )  # fmt: skip
    ensure_runner(settings)
    return run_id


def _submit(kind: str, name: str, model: str, settings: Settings) -> str:
    run_id = Store(settings).runs.add(
        kind, name, model, {}, max_queued=settings.limits.queued_runs, join_active=True,
        started_by=settings.actor.name,
    )  # fmt: skip
    ensure_runner(settings)
    return run_id
