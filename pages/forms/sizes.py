"""How thorough a study is: three sizes that fill in the form, each with the time it takes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from core.recipe.recipe import Recipe
from pages.frame.text import about

Numbers = Mapping[str, int]
"""The form's numbers by the keys of their fields."""
SIZES = {"quick": "Quick", "normal": "Normal", "thorough": "Thorough"}
SWEEP: Mapping[str, Numbers] = {
    "quick": {"sequences": 8, "tokens": 2_048, "repeats": 3},
    "normal": {"sequences": 32, "tokens": 8_192, "repeats": 5},
    "thorough": {"sequences": 128, "tokens": 65_536, "repeats": 15},
}
"""Calibration sequences, evaluation tokens, timed repeats."""
DISTIL: Mapping[str, Numbers] = {
    "quick": {"budget-minutes": 3},
    "normal": {"budget-minutes": 15},
    "thorough": {"budget-minutes": 60},
}
"""Minutes of training."""
SENSITIVITY: Mapping[str, Numbers] = {
    "quick": {"tokens": 1_024},
    "normal": {"tokens": 4_096},
    "thorough": {"tokens": 16_384},
}
"""Tokens that each place is judged on."""


def choose(sizes: Mapping[str, Numbers], seconds: Callable[[Numbers], float | None], help: str) -> None:
    """The three sizes; none is marked while the form's numbers are others.

    Args:
        sizes: the numbers of each size.
        seconds: what a study with these numbers takes on this machine.
    """
    st.session_state["size"] = next((name for name, numbers in sizes.items() if _are_set(numbers)), None)

    def words(name: str) -> str:
        taken = seconds(sizes[name])
        return SIZES[name] if taken is None else f"{SIZES[name]}, {about(taken)}"

    st.radio(
        "How thorough",
        list(sizes),
        index=None,
        key="size",
        format_func=words,
        help=help,
        on_change=_fill_in,
        args=(sizes,),
    )


def _are_set(numbers: Numbers) -> bool:
    """Whether the fields that are shown hold these numbers."""
    shown = [key for key in numbers if key in st.session_state]
    return bool(shown) and all(st.session_state[key] == numbers[key] for key in shown)


def _fill_in(sizes: Mapping[str, Numbers]) -> None:
    for key, value in sizes.get(st.session_state["size"] or "", {}).items():
        if key in st.session_state:
            st.session_state[key] = value


def sized(recipe: Recipe, numbers: Numbers) -> Recipe:
    """A sweep with the numbers of a size of `SWEEP`."""
    calibration = recipe.calibration.model_copy(update={"sequences": numbers["sequences"]})
    evaluation = recipe.evaluation.model_copy(update={"tokens": numbers["tokens"]})
    latency = recipe.latency and recipe.latency.model_copy(update={"repeats": numbers["repeats"]})
    return recipe.model_copy(update={"calibration": calibration, "evaluation": evaluation, "latency": latency})
