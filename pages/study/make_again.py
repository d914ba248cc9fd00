"""A candidate whose model was not kept is made again at a click, and its model stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.base.errors import RetortError
from core.recipe.again import kept_again
from core.recipe.prune import Prune
from core.recipe.recipe import Recipe
from pages.forms import sample_study
from pages.frame import home, login, shell
from pages.frame.states import refused

LABEL = "Make it again and keep the model"


def button(recipe: Mapping[str, Any], prune: Mapping[str, Any] | None, key: str) -> None:
    """The button, for a candidate that a pruning step made; nothing for others, whose models are kept anyway.

    Args:
        recipe: of the run that measured it.
        prune: the step that made it.
    """
    if prune is None:
        return
    if login.button(
        "run",
        LABEL,
        key=f"again-{key}",
        icon=":material/replay:",
        help="A run of this candidate alone, in the same way as before; its model stays on disk afterwards.",
    ):
        try:
            again = kept_again(Recipe.model_validate(recipe), Prune.model_validate(prune))
            run_id = sample_study.start(again, home.settings())
        except RetortError as error:
            refused(error.cause, error.remedy)
        except ValueError:
            refused("This candidate was made by another version of Retort.", "Start a new sweep with the same step.")
        else:
            st.switch_page(shell.path("sweep"), query_params={"run": run_id})
