"""The engine's door: executes a recipe, whatever its kind."""

from __future__ import annotations

from core.engine.cluster.sweep import measure_on_cluster
from core.engine.session import Session
from core.engine.steps import run_steps
from core.engine.sweep import run_sweep
from core.hooks import Hooks
from core.preflight.check import refuse_impossible
from core.recipes import Recipe


def execute(recipe: Recipe, hooks: Hooks) -> None:
    """Runs a sweep or a list of steps to its end; finished trials are found again and not repeated.

    Raises:
        RetortError: nothing more can be done; the cause and the remedy are for the user.
        Cancelled: the user asked to stop; finished trials are kept.
    """
    session = Session(recipe, hooks)
    refuse_impossible(recipe, hooks.settings, session.resolved)
    if recipe.sweep is not None:
        run_sweep(session, measure_on_cluster if recipe.executor != "local" else None)
    else:
        run_steps(session)
