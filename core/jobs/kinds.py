"""Which function does the work of which kind of run. Imported by the worker only.

An installed package may bring further kinds, as entry points of the group `retort.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from core.base.errors import RetortError
from core.base.functions import load_function
from core.recipe.hooks import Hooks
from core.store import RunRow, Store

Work = Callable[[RunRow, Hooks], None]
GROUP = "retort.jobs"

KINDS: dict[str, str] = {
    "sweep": "core.jobs.kinds:run_recipe",
    "recipe": "core.jobs.kinds:run_recipe",
    "fetch": "core.jobs.kinds:fetch",
    "download": "core.jobs.kinds:download",
    "probe": "core.engine.measure.machine_rates:run",
    "sensitivity": "core.jobs.kinds:sensitivity",
    "time": "core.jobs.kinds:time_again",
}


def work_of(kind: str) -> Work:
    """The function for a kind of run.

    Raises:
        RetortError: no such kind here (the run comes from another version).
    """
    dotted = KINDS.get(kind) or next((e.value for e in entry_points(group=GROUP, name=kind)), None)
    if dotted is None:
        raise RetortError(f"This Retort cannot do runs of the kind '{kind}'.", "Update Retort, then retry the run.")
    return cast(Work, load_function(dotted))


def run_recipe(run: RunRow, hooks: Hooks) -> None:
    """A sweep or a list of steps, through the engine."""
    from core.engine.pipeline import execute

    execute(run.parsed(), hooks)


def fetch(run: RunRow, hooks: Hooks) -> None:
    """The download of a sample."""
    from core.catalogue.fetch import fetch_sample

    fetch_sample(
        run.recipe["sample"], hooks.settings, hooks.actor, hooks.reporter, accept_terms=bool(run.recipe["accept_terms"])
    )


def download(run: RunRow, hooks: Hooks) -> None:
    """The download of a hub model, pinned to a commit."""
    from core.catalogue.references import resolve

    hooks.reporter.progress(0, 1, f"Downloading {run.model}")
    found = resolve(run.model, hooks.settings, hooks.actor)
    hooks.reporter.progress(1, 1, f"Here as {found.reference}")


def sensitivity(run: RunRow, hooks: Hooks) -> None:
    """The loss change by layer and part, which lies in the home afterwards."""
    from core.analysis.sensitivity import SensitivitySpec
    from core.engine.run.sensitivity import measure_sensitivity

    measure_sensitivity(SensitivitySpec.model_validate(run.recipe), hooks)


def time_again(run: RunRow, hooks: Hooks) -> None:
    """Candidates timed again beside the dense model; the new times take the place of the earlier ones."""
    from core.engine.run.retime import retime

    retime(run.recipe["candidates"], hooks, Store(hooks.settings).candidates.add)
