"""A recipe file opened on a page: its problems by line, what it takes, and its start."""

from __future__ import annotations

import streamlit as st

from core.analysis.doctor import size_of
from core.analysis.estimate import recipe_seconds
from core.base.errors import RetortError
from core.base.plain_data import too_large
from core.base.text import one_line
from core.jobs import actions, submissions
from core.recipe.check import RecipeError
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe
from pages.forms import models
from pages.frame import file_input, home, login, shell
from pages.frame.states import lacking, refused
from pages.frame.text import about, md, plural
from pages.run import panel

_KEY, _NAME, _TEXT = "recipe-file", "_recipe-name", "_recipe-text"
_ENDINGS = (".yaml", ".yml")


def picker() -> None:
    """The field that opens one."""
    with st.expander("Open a recipe file", icon=":material/folder_open:"):
        file_input.ask(
            _KEY,
            "A recipe (.yaml), as every page offers it and examples/ holds some",
            _ENDINGS,
            home.settings().limits.recipe_bytes,
            _taken,
        )


def is_open() -> bool:
    """Whether one was opened and not closed again."""
    return _TEXT in st.session_state


def show() -> None:
    """The opened one: what is wrong with it, or what it does and takes, with the button that starts it."""
    text: str = st.session_state[_TEXT]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/description: **{md(st.session_state[_NAME])}**")
        st.button("Close it", icon=":material/close:", type="tertiary", on_click=_close)
    left, right = st.columns([5, 3], gap="large")
    with left:
        st.code(text, language=None, line_numbers=True, height=520)
    with right, st.container(border=True):
        st.header("Before it starts", anchor=False)
        try:
            recipe = load_recipe(text, home.settings().limits)
            actions.check_recipe(recipe, home.settings())
        except RecipeError as error:
            refused(f"The recipe has {plural(error.total, 'problem')}.", "Correct the file, then open it again.")
            st.markdown("\n".join(f"- {md(p, 500)}" for p in error.problems))
        except RetortError as error:
            refused(error.cause, error.remedy)
        else:
            _offer(recipe)


def _offer(recipe: Recipe) -> None:
    st.markdown(f"**{md(recipe.name)}**")
    if recipe.sweep is not None:
        st.caption(f"{plural(len(recipe.sweep.trials()), 'candidate')} beside the dense model.")
    else:
        st.caption(f"{plural(len(recipe.steps), 'step')}, one after the other.")
    try:
        seconds = recipe_seconds(recipe, size_of(models.look(recipe.model)[1]), home.settings())
    except RetortError:
        seconds = None  # its model comes first
    st.metric("Time", "not known yet" if seconds is None else about(seconds), width="content")
    panel.machine_timing("recipe", "estimated from a timed probe of this machine" if seconds is not None else "")
    lacking(recipe, home.settings())
    if login.button("run", "Start it", type="primary", icon=":material/play_arrow:", width="stretch"):
        run_id = submissions.submit_with_samples(recipe, home.settings(), login.actor())
        _close()
        page = "sweep" if recipe.sweep is not None else "distil"
        st.switch_page(shell.path(page), query_params={"run": run_id})


def _taken(name: str, raw: bytes) -> None:
    """Keeps the text; what it means is said where it is shown.

    Raises:
        RetortError: it is too large, or no text.
    """
    most = home.settings().limits.recipe_bytes
    if len(raw) > most:
        raise too_large(most)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RetortError(f"'{one_line(name, 100)}' is not UTF-8 text.", "Choose a YAML file.") from None
    st.session_state[_NAME], st.session_state[_TEXT] = one_line(name, 100), text


def _close() -> None:
    st.session_state.pop(_TEXT, None)
