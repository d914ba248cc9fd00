"""One run: what its user writes about it, and how it differs from another."""

from __future__ import annotations

import streamlit as st

from core.analysis.run_differences import RunChange, changes, figures, versions
from core.base.errors import RetortError
from core.jobs import run_notes
from core.store import RunRow
from core.store.labels import NOTES_LENGTH
from pages.frame import home, login, studies, urls
from pages.frame.states import boundary, refused
from pages.frame.text import flat, md, plural

_OTHERS = 50


def labels(run: RunRow) -> None:
    """Tags and a note, which can be changed at any time."""
    st.header("Tags and note", anchor=False)
    st.session_state.setdefault(f"tags-{run.id}", ", ".join(run.tags))
    st.session_state.setdefault(f"notes-{run.id}", run.notes)
    with st.form(f"labels-{run.id}", border=False):
        tags = st.text_input("Tags, separated by commas", key=f"tags-{run.id}", max_chars=900)
        notes = st.text_area("Note", key=f"notes-{run.id}", max_chars=NOTES_LENGTH)
        if st.form_submit_button("Save", **login.locked("note", {"icon": ":material/save:"})):
            try:
                run_notes.annotate(run.id, home.settings(), login.actor(), tags=tags.split(","), notes=notes)
            except RetortError as error:
                refused(error.cause, error.remedy)
            else:
                st.toast("Saved.", icon=":material/check:")


def differences(run: RunRow) -> None:
    """What sets this run apart from another one, chosen here and kept in the address."""
    if run.kind not in studies.KINDS:
        return
    store = home.store()
    found = studies.recent(_OTHERS + 1)
    names = {r.id: flat(f"{r.name} ({r.id})") for r in found if r.id != run.id}
    if not names:
        return
    st.header("Compare with another run", anchor=False)
    other_id = urls.select(
        "Second run", "other", list(names), names.__getitem__, placeholder=f"One of the latest {_OTHERS}", width=480
    )
    if other_id is None:
        return
    with boundary():
        other = store.runs.get(other_id)
        mine, theirs = store.candidates.results(run_id=run.id), store.candidates.results(run_id=other.id)
        _changes("Recipe", changes(run.recipe, other.recipe), "Their recipes are the same.")
        _changes("Versions and machine", versions(mine, theirs), "Versions, device and number format are the same.")
        shared = figures(mine, theirs)
        st.markdown("**Figures of matching candidates**")
        if not shared:
            st.caption("No candidate of one was made by the same step as one of the other.")
            return
        st.caption(f"{plural(len(shared), 'figure')} that both have. A verdict needs figures of the same texts.")
        st.dataframe(
            {
                "Candidate": [flat(f.label) for f in shared],
                "Figure": [flat(f.name) for f in shared],
                "This run": [f.shown[0] for f in shared],
                "Second run": [f.shown[1] for f in shared],
                "Verdict": [f.verdict or "\u2013" for f in shared],
            },
            hide_index=True,
            alt="Figures of candidates that both runs have, side by side",
        )


def _changes(title: str, found: list[RunChange], none: str) -> None:
    st.markdown(f"**{md(title)}**")
    if not found:
        st.caption(none)
        return
    st.dataframe(
        {
            "What": [flat(c.path) for c in found],
            "This run": [flat(c.left) for c in found],
            "Second run": [flat(c.right) for c in found],
        },
        hide_index=True,
        alt=f"{title}: what differs between the two runs",
    )
