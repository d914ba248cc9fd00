"""Is an export or int8 possible? Answered from a model's config and tokenizer.

`core.preflight` asks for every step of a recipe before any work; each export is checked again on the model itself
once that exists.
"""

from __future__ import annotations

from pathlib import Path

from core.base.errors import Impossible
from core.catalogue.checks import read_json
from core.catalogue.exportable import Described, quantisable, reason_against
from core.registry.formats import EXPORTS


def refuse_export(format_id: str, model: Described) -> None:
    """Raises Impossible where a model cannot be written in a format, with the reason."""
    reason = reason_against(EXPORTS[format_id], model)
    if reason:
        raise Impossible(
            f"This model cannot be exported as {EXPORTS[format_id].label}: {reason}.",
            "Leave this export step out, or export as another format.",
        )


def refuse_quantise(folder: Path) -> None:
    """Raises Impossible where the weights of the model in `folder` cannot be made int8, with the reason."""
    reason = quantisable(read_json(folder / "config.json"))
    if reason:
        raise Impossible(
            f"The weights of this model cannot be made int8: {reason}.", "Leave the quantise step out for this model."
        )
