"""A look at data of one's own beside the field that names it: five rows, and what their columns are taken for."""

from __future__ import annotations

import streamlit as st

from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.data_files import data_files
from core.data.preview import Preview, preview
from core.recipe.parts import Columns
from pages.frame import home
from pages.frame.cached import cached
from pages.frame.states import refused
from pages.frame.text import flat, md

_MOST_BYTES = 200_000_000
"""Larger data is looked at from the command line: a page would wait too long for it."""


def at(reference: str, column: str = "") -> None:
    """The preview of `path:` data; of other data nothing."""
    kind, _, name = reference.partition(":")
    if kind != "path" or not name:
        return
    try:
        files = data_files(name, home.settings()).files
        stamps = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)
        if sum(size for *_, size in stamps) > _MOST_BYTES:
            st.caption(f"Large data: look at it with 'python -m core data {md(name, 200)}'.")
            return
        found = _preview(name, column, home.settings(), stamps)
    except (RetortError, OSError) as error:
        refused(getattr(error, "cause", str(error)), getattr(error, "remedy", "Check the path."))
        return
    with st.expander(f"What is in it: {found.count:,} rows", icon=":material/table_rows:"):
        _draw(found)


@cached(16)
def _preview(name: str, column: str, settings: Settings, stamps: tuple[tuple[str, int, int], ...]) -> Preview:
    return preview(name, Columns(text=column or None), settings)


def _draw(found: Preview) -> None:
    files = f"{found.files} files" if found.files > 1 else "one file"
    said = [f"{found.form}, {files}"] + ([f"{found.repeated:,} rows repeat an earlier one"] if found.repeated else [])
    st.caption(f"{'; '.join(said)}.")
    rows = [{flat(c, 60): flat(row[c], 200) for c in found.columns} for row in found.rows]
    st.dataframe(rows, hide_index=True, alt="The first rows of the data")
    for reading in found.readings:
        if reading.obstacle:
            continue
        columns = ", ".join(f"{what.replace('_', ' ')} from '{name}'" for what, name in reading.columns.items())
        notes = " ".join(reading.notes)
        st.caption(md(f"As {reading.use}: {reading.rows:,} rows ({columns}). {notes}".strip(), 600))
        if reading.classes:
            few = ", ".join(f"{name} {count:,}" for name, count in reading.classes[:10])
            st.caption(md(f"{len(reading.classes)} classes: {few}{', ...' * (len(reading.classes) > 10)}", 600))
