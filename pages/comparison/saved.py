"""Saved comparisons on the page: opened by their address, found again for the same models, listed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.base.errors import RetortError
from core.jobs import run_notes
from core.recipe.comparisons import KINDS, Comparison, Kind
from pages.comparison import prompt_list, writing
from pages.comparison.models import Chosen
from pages.frame import home, login, shell
from pages.frame.cached import cached
from pages.frame.states import refused
from pages.frame.text import flat, md, when, zone
from pages.frame.tokens import visible
from pages.run import panel

_ADDRESS = "saved"
_OPENED = "_compare-opened"
_KINDS: dict[Kind, str] = {"texts": "Texts", "tokens": "Token by token", "prompts": "Prompts"}
_MOST = 30


def open_address() -> None:
    """Sets models, prompt and settings as the comparisons say that the address names, where that is news."""
    ids = st.query_params.get_all(_ADDRESS)[: len(KINDS)]
    if not ids or ids == st.session_state.get(_OPENED):
        return
    st.session_state[_OPENED] = ids
    found = [c for c in map(home.store().comparisons.get, ids) if c is not None]
    if not found:
        del st.query_params[_ADDRESS]
        refused(
            "There is no saved comparison at this address: it was deleted, alone or with a model that it compared.",
            "Choose the models below and compare them again.",
        )
        return
    first = found[0]
    st.session_state["compare-first"], *beside = first.models
    st.session_state["compare-beside"] = beside
    for one in found:
        writing.put(one.settings)
        if "prompt" in one.settings:
            st.session_state["compare-prompt"] = str(one.settings["prompt"])
        if isinstance(prompts := one.settings.get("prompts"), list):
            prompt_list.put(tuple(map(str, prompts)))


def latest(kind: Kind, chosen: Chosen) -> Comparison | None:
    """The comparison of this kind that the address names, else the newest of these models; None where there is none."""
    for comparison_id in st.query_params.get_all(_ADDRESS):
        found = home.store().comparisons.get(comparison_id)
        if found is not None and found.kind == kind and found.models == chosen.references:
            return found
    heads = home.store().comparisons.find(chosen.references)
    newest = next((s for s in heads if s.kind == kind), None)
    return _whole(str(home.settings().home), newest.id, newest.created) if newest else None


@cached(32)
def _whole(_home: str, comparison_id: str, _created: float) -> Comparison | None:
    return home.store().comparisons.get(comparison_id)


def keep(kind: Kind, chosen: Chosen, settings: Mapping[str, Any], found: dict[str, list[Any]]) -> Comparison | None:
    """Saves what came and puts it into the address; None, and a sentence, where it could not be saved."""
    names = tuple(name.partition(". ")[2] or name for name in chosen.names)
    made = Comparison(kind=kind, models=chosen.references, names=names, settings=dict(settings), found=found)
    try:
        saved = run_notes.save_comparison(made, home.settings(), login.actor())
    except RetortError as error:
        refused(error.cause, error.remedy)
        return None
    kinds = {s.id: s.kind for s in home.store().comparisons.find(chosen.references)}
    others = [i for i in st.query_params.get_all(_ADDRESS) if kinds.get(i, kind) != kind]
    st.query_params[_ADDRESS] = st.session_state[_OPENED] = [*others, saved.id]
    return saved


def forget_others(chosen: Chosen) -> None:
    """Leaves out of the address what is about other models than those chosen now."""
    ids = st.query_params.get_all(_ADDRESS)
    known = {s.id for s in home.store().comparisons.find(chosen.references)} if ids else set()
    kept = [i for i in ids if i in known]
    if kept != ids:
        st.session_state[_OPENED] = kept
        if kept:
            st.query_params[_ADDRESS] = kept
        else:
            del st.query_params[_ADDRESS]


def source(one: Comparison) -> None:
    """When and how it was made."""
    how = writing.words(one.settings)
    by = f" by {md(one.made_by)}" if one.made_by else ""
    at = when(one.created, zone(st.context.timezone))
    st.caption(f":material/bookmark: {how[:1].upper()}{how[1:]}{'. ' if how else ''}Saved {at}{by}.")


def section(chosen: Chosen) -> None:
    """Everything that is saved of these models, each with its address."""
    heads = home.store().comparisons.find(chosen.references)
    if not heads:
        return
    panel.show_refusal()
    where = zone(st.context.timezone)
    with st.expander(f"Saved comparisons of these models ({len(heads)})", icon=":material/bookmarks:"):
        st.caption("Each opens by its address, in any browser that may look at this Retort.")
        for head in heads[:_MOST]:
            how = writing.words(head.settings)
            said = ", ".join(
                [when(head.created, where), *([how] if how else []), *([head.made_by] if head.made_by else [])]
            )
            with st.container(horizontal=True, vertical_alignment="center"):
                st.page_link(
                    shell.path("compare"),
                    label=f"{_KINDS[head.kind]}: {md(flat(visible(head.title), 60), 90)}",
                    icon=":material/open_in_new:",
                    query_params={_ADDRESS: head.id},
                )
                st.caption(md(said), width="content")
                login.button(
                    "delete",
                    "Delete",
                    key=f"compare-forget-{head.id}",
                    type="tertiary",
                    icon=":material/delete:",
                    on_click=panel.do,
                    args=(run_notes.forget_comparison, head.id),
                )
        if len(heads) > _MOST:
            st.caption(f"The newest {_MOST} of {len(heads)} are listed.")
