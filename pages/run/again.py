"""One run done again: its recipe, the command, and a notebook."""

from __future__ import annotations

import streamlit as st

from core.integrations.notebook import notebook
from core.recipe.files import dump_recipe
from core.store import RunRow
from pages.frame import home, studies
from pages.frame.states import boundary


def reproduce(run: RunRow) -> None:
    """The recipe as a file, the command that runs it, and both in a notebook that also loads and draws the result."""
    if run.kind not in studies.KINDS:
        return
    st.header("Do it again", anchor=False)
    with boundary():
        name, recipe = f"run-{run.id}.yaml", run.parsed()
        with st.container(horizontal=True):
            st.download_button(
                "Recipe (YAML)",
                dump_recipe(recipe),
                file_name=name,
                mime="application/yaml",
                icon=":material/download:",
                on_click="ignore",
            )
            st.download_button(
                "Notebook",
                lambda: notebook(run.id, recipe, home.store().candidates.results(run_id=run.id)),
                file_name=f"run-{run.id}.ipynb",
                mime="application/x-ipynb+json",
                icon=":material/download:",
                on_click="ignore",
                help="For Jupyter: runs the recipe, compares the figures, loads a model, draws it.",
            )
        st.caption("Save the recipe, then run it on any machine with Retort:")
        st.code(f"python -m core run {name}", language=None)
