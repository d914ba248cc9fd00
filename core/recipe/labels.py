"""What a candidate is called: the steps that made it, and what is known of them only afterwards.

A label is planned with the run and said again when its model is there: training that ended early used only a part
of its budget, and the winner of a `select` has a shape. Labels are in no trial's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.recipe.recipe import Distil, Prune, Quantise, Trim

_SIZES = {
    "layers": "layers",
    "hidden": "hidden channels",
    "intermediate": "MLP neurons",
    "heads": "heads",
    "kv_heads": "key-value heads",
    "experts": "experts",
    "vocabulary": "tokens",
}


def shape(facts: Mapping[str, Any], dense: Mapping[str, Any]) -> str:
    """The sizes that differ from the dense model's: '3 of 4 layers, 40 of 64 MLP neurons'; '' where none does.

    Args:
        facts, dense: `Result.facts` of the candidate and of the baseline.
    """
    pairs = [(facts.get(key), dense.get(key), name) for key, name in _SIZES.items()]
    return ", ".join(f"{a:,} of {b:,} {name}" for a, b, name in pairs if a is not None and b is not None and a != b)


def done(step: Prune | Distil | Quantise | Trim, facts: Mapping[str, Any]) -> str:
    """What a step did, by the facts of the model it made: of a training that ended early, how far it came."""
    if isinstance(step, Distil) and facts.get("stopped"):
        used = step.budget.cut_short(facts["steps"], facts["tokens"], facts["training_seconds"])
        return step.label(used)
    if isinstance(step, Trim):
        return step.label(facts.get("tokens"))
    return step.label()


def joined(before: str, step: str, name: str = "") -> str:
    """The label of a model that was made from the one labelled `before`; '' for the model as it came.

    `name`: the step's own, by which its model is called alone.
    """
    return f"{before} + {step}" if before and not name else step
