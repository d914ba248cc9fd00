"""The format to take a model away in, by where it will run."""

from __future__ import annotations

from collections.abc import Collection

from core.registry.formats import EXPORTS

_BY_DEPLOYMENT = {"phone": ("gguf", "onnx"), "edge": ("gguf", "onnx")}


def preferred_format(deployment: str, possible: Collection[str]) -> str | None:
    """The id of the format for a deployment, of those that are possible; None where any will do, or none is."""
    return next((f for f in _BY_DEPLOYMENT.get(deployment, ()) if f in possible), None)


def take_away(int8: bool, deployment: str, possible: Collection[str]) -> str:
    """What to export for where it will run; '' where any form will do. `int8`: whether its weights become that."""
    format_id = preferred_format(deployment, possible)
    if format_id is None:
        return ""
    chosen = EXPORTS[format_id]
    if int8:
        return (
            f"int8 weights are for transformers with torchao. For {chosen.label} take the model from before that step "
            "and let the program that runs it quantise it."
        )
    return f"Take it away as {chosen.label}. {chosen.explanation}"
