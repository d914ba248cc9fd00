"""Which pruning steps are healed, and what a recipe means that does not say."""

from __future__ import annotations

from typing import Final

from core.registry.methods import METHODS

USUAL: Final = "closed-form"


def heals(method: str) -> bool:
    """Whether what the method removes can be made up for: layers, neurons, heads, groups; not experts, not weights."""
    return method in METHODS and METHODS[method].family in ("depth", "width")


def with_usual_heal(data: dict[str, object]) -> dict[str, object]:
    """A recipe as somebody wrote it, with `heal` in every step that can be healed and does not say.

    Only for what is written anew. A stored recipe says `heal`, or was made before there was any.
    """
    found = dict(data)
    if isinstance(steps := data.get("steps"), list):
        found["steps"] = [_step(step) for step in steps]
    sweep = data.get("sweep")
    if isinstance(sweep, dict) and isinstance(grids := sweep.get("grid"), list):
        found["sweep"] = {**sweep, "grid": [_healed(grid) for grid in grids]}
    return found


def _step(step: object) -> object:
    if isinstance(step, dict) and step.get("step") == "select" and isinstance(options := step.get("options"), list):
        return {**step, "options": [_healed(option) for option in options]}
    return _healed(step) if isinstance(step, dict) and step.get("step") == "prune" else step


def _healed(step: object) -> object:
    if not isinstance(step, dict) or "heal" in step:
        return step
    named = step.get("method")
    methods = named if isinstance(named, list) else [named]
    return {**step, "heal": USUAL} if any(isinstance(m, str) and heals(m) for m in methods) else step
