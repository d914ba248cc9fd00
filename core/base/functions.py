"""Functions that the registries name as `module:function`, loaded where they are needed and nowhere else."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from core.base.errors import RetortError


def load_function(named: str) -> Any:
    """What `module:function` names. Its module is imported now, and never before.

    Raises:
        RetortError: it cannot be had. Only what an installed package brings gets here: Retort's own are tested.
    """
    try:
        return resolve_name(named)
    except Exception as error:  # the package of somebody else may raise anything while it is imported
        raise RetortError(
            f"The function '{named}' cannot be loaded ({type(error).__name__}: {error}).",
            "Update or remove the package that brings it.",
        ) from error
