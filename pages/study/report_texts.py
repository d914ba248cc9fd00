"""Which of the saved texts a report shows; they live in the address."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st

from core.recipe.comparisons import candidate_keys
from core.report.comparisons import MOST, with_comparisons
from core.report.model import Report
from core.store import RunRow
from pages.frame import home
from pages.frame.text import flat, plural
from pages.frame.tokens import visible

_ADDRESS, _KEY = "text", "report_texts"
_OPTIONS = 600


def choose(run: RunRow, keys: Container[str]) -> None:
    """A list of what is saved of this study's model beside its candidates; nothing where nothing is."""
    options = _options(run, keys)
    if not options:
        return
    given = [t for t in st.query_params.get_all(_ADDRESS) if t in options][:MOST]
    chosen = st.multiselect(
        "What the models write",
        list(options),
        default=given,
        key=_KEY,
        max_selections=MOST,
        format_func=options.__getitem__,
        placeholder="Choose saved texts to show side by side",
        help="Texts and prompts that were compared on the Compare page. Votes are shown wherever there are any.",
    )
    if chosen:
        st.query_params[_ADDRESS] = chosen
    elif any(t in options for t in st.query_params.get_all(_ADDRESS)):
        del st.query_params[_ADDRESS]


def forget() -> None:
    """Another study has other texts."""
    st.query_params.pop(_ADDRESS, None)
    st.session_state.pop(_KEY, None)


def added(report: Report) -> Report:
    """The report with the texts of the address and the votes on its candidates."""
    return with_comparisons(report, home.store(), st.query_params.get_all(_ADDRESS))


def say_what_is_gone(report: Report) -> None:
    if report.said.gone:
        st.warning(
            "Choose other texts, or compare the models again.",
            title=f"{plural(report.said.gone, 'text')} of this address cannot be shown: its comparison was deleted.",
            icon=":material/error:",
        )


def _options(run: RunRow, keys: Container[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for head in home.store().comparisons.find():
        if head.models[0] != run.model or not any(key in keys for key in candidate_keys(head.models[1:])):
            continue
        if head.kind == "texts":
            found[head.id] = flat(visible(head.title), 90)
        prompts = head.settings.get("prompts")
        if head.kind == "prompts" and isinstance(prompts, list):
            found |= {f"{head.id}.{n}": f"{n + 1}. {flat(visible(str(p)), 90)}" for n, p in enumerate(prompts)}
        if len(found) > _OPTIONS:
            break
    return found
