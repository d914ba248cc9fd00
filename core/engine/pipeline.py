"""The engine's door: executes a recipe, whatever its kind."""

from __future__ import annotations

from core.base.settings import Settings
from core.engine.cluster.distil_step import ClusterTraining
from core.engine.cluster.sweep import measure_on_cluster
from core.engine.distil.run import distil
from core.engine.run.session import Session
from core.engine.run.steps import run_steps
from core.engine.run.sweep import run_sweep
from core.preflight.check import refuse_impossible
from core.preflight.notes import beforehand
from core.recipe.hooks import Hooks
from core.recipe.recipe import Recipe


def execute(recipe: Recipe, hooks: Hooks) -> None:
    """Runs a sweep or a list of steps to its end; finished trials are found again and not repeated.

    Raises:
        RetortError: nothing more can be done; the cause and the remedy are for the user.
        Cancelled: the user asked to stop; finished trials are kept.
    """
    session = Session(recipe, hooks)
    refuse_impossible(recipe, hooks.settings, session.resolved)
    for note in beforehand(recipe, hooks.settings):
        hooks.reporter.event("warning", note)
    if recipe.sweep is not None:
        run_sweep(session, measure_on_cluster if recipe.executor != "local" else None)
    else:
        run_steps(session, distil if recipe.executor == "local" else _on_cluster(recipe, hooks.settings))


def _on_cluster(recipe: Recipe, settings: Settings) -> ClusterTraining:
    return ClusterTraining(settings, shard=recipe.executor == "ray-sharded")
