"""Says what a model can be written as."""

from __future__ import annotations

from core.catalogue.exportable import Described


def always(model: Described) -> str | None:
    return None


def remark(model: Described) -> str:
    return "Names only."
