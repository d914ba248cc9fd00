"""What every page of a study shares: choose a model, see what it will take, start, follow, read the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.catalogue.references import ResolvedModel
from core.preflight.samples import missing
from core.recipe.files import dump_recipe
from core.recipe.recipe import Recipe
from core.registry.formatting import show_bytes
from core.store import RunRow, TrialRow
from pages.forms import models
from pages.frame import home, login, shell
from pages.frame.states import lacking, refused
from pages.frame.text import about, flat, md
from pages.run import panel
from pages.run.nothing_yet import nothing_yet
from pages.study import recipe_file

T = TypeVar("T")


@dataclass(frozen=True)
class StudyPage:
    """The words of one such page, and its parts in their order."""

    page: str
    """Its file's name, which is the key of its buttons as well."""
    title: str
    kind: str
    """Kind of the runs it starts and follows."""
    of: str
    """Stands before the model of a run that is followed."""
    button: str
    """Starts a run."""
    again: str
    """Leads from a run back to the choices."""
    files: bool = True
    """Whether a recipe file can be opened on it."""

    def show(
        self,
        plan: Callable[[], None],
        progress: Callable[[RunRow, list[TrialRow]], None],
        result: Callable[[RunRow], None] | None = None,
    ) -> None:
        """The choices (`plan`), or the run of the address: its `progress`, and its `result` once it is done."""
        panel.show_refusal()
        run_id = st.query_params.get("run")
        if run_id:
            self._follow(run_id, progress, result)
            return
        st.title(self.title, anchor=False)
        panel.back_to(home.store().runs.find(states=("queued", "running"), kinds=(self.kind,), limit=3), self.page)
        if self.files and recipe_file.is_open():
            recipe_file.show()
            return
        if self.files:
            recipe_file.picker()
        plan()

    def before_it_starts(self, checked: Callable[[], T], offer: Callable[[T], None]) -> T | None:
        """The box of what a run takes: `offer` draws it for what was chosen, once that is `checked`.

        What the choices are refused for stands in it above a button that is off; None then.
        """
        with st.container(border=True):
            st.header("Before it starts", anchor=False)
            try:
                chosen = checked()
            except RetortError as error:
                refused(error.cause, error.remedy)
                st.button(self.button, type="primary", disabled=True, width="stretch")
                return None
            offer(chosen)
        return chosen

    def start_button(self, recipe: Recipe, submit: Callable[[], str]) -> None:
        """What its figures will lack, what is downloaded first, and the button: `submit` queues the run (its id)."""
        lacking(recipe, home.settings())
        if needed := missing(recipe, home.settings()):
            size = show_bytes(sum(s.download_bytes for s in needed))
            st.caption(f"It first downloads {md(' and '.join(s.label for s in needed))}: {size}, once.")
        if login.button("run", self.button, type="primary", icon=":material/play_arrow:", width="stretch"):
            st.switch_page(shell.path(self.page), query_params={"run": submit()})

    def time_needed(self, label: str, seconds: float | None, help: str | None = None) -> None:
        """How long it takes."""
        st.metric(label, "not known yet" if seconds is None else about(seconds), width="content", help=help)

    def time_basis(self, seconds: float | None, basis: str = "estimated from a timed probe of this machine") -> None:
        """What that rests on and when the machine was timed; a button that has it timed, where that is wanted."""
        panel.machine_timing(self.page, md(basis) if seconds is not None else "")

    def _follow(
        self,
        run_id: str,
        progress: Callable[[RunRow, list[TrialRow]], None],
        result: Callable[[RunRow], None] | None,
    ) -> None:
        run = home.store().runs.get(run_id)
        if run.kind != self.kind:
            raise RetortError(f"This run was not started on the page {self.title}.", "Open it on the Runs page.")
        st.title(md(run.name), anchor=False)
        st.caption(f"{self.of} {md(run.model)}")
        if result is not None and run.state == "done":
            result(run)
        else:
            panel.live(run_id, progress)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(self.again, icon=":material/add:", type="tertiary"):
                st.query_params.clear()
                st.rerun()
            st.page_link(
                shell.path("runs"),
                label="Events and full log",
                icon=":material/list_alt:",
                query_params={"run": run_id},
            )


def choose_model(label: str, key: str, help: str) -> tuple[ResolvedModel, Anatomy] | None:
    """The model chosen among those at hand, the kept candidates last; None where what to do stands in its place."""
    kept = models.candidate_labels()
    options = [*models.ready(home.settings()), *list(kept)[: models.MOST]]
    wanted = st.query_params.get(key)
    if wanted and wanted not in options:
        options.insert(0, wanted)
    if not options:
        nothing_yet(
            "No model yet",
            "Fetch a sample or name a folder first.",
            ":material/deployed_code:",
            "model",
            "Open the Model page",
        )
        return None
    reference = st.selectbox(
        label,
        options,
        key=key,
        bind="query-params",
        accept_new_options=True,
        width=720,
        format_func=lambda r: flat(kept.get(r, r), 120),
        help=f"{help} A sample, path:/folder, hub:organisation/name@revision, or run:KEY of a kept candidate.",
    )
    try:
        return models.look(reference or options[0])
    except RetortError as error:
        refused(error.cause, error.remedy)
        st.page_link(shell.path("model"), label="Open the Model page", icon=":material/deployed_code:")
        return None


def given_name() -> dict[str, str]:
    """The name given to the run, as a recipe has it; nothing where it is to be called by what it does."""
    name = st.text_input(
        "Name", key="name", bind="query-params", max_chars=120, placeholder="Called by what it does, until you name it"
    )
    stripped = (name or "").strip()
    return {"name": stripped} if stripped else {}


def as_file(recipe: Recipe, file: str, command: str) -> None:
    """The same as a file, with the command that runs it."""
    text = dump_recipe(recipe)
    with st.expander("The same as a recipe file", icon=":material/description:"):
        st.code(text, language=None, height=320)
        st.download_button("Download it", text, file, "application/yaml", icon=":material/download:", on_click="ignore")
        st.caption(f"Runs from the command line as well: python -m core {command} {file}")
