"""Designed states: nothing there yet, refused, broken. Each says what to do next."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import streamlit as st

from core.base.errors import RetortError
from core.base.settings import Settings
from core.preflight.notes import beforehand
from core.recipe.recipe import Recipe
from pages.frame.text import md

_LOG = logging.getLogger("retort")


def refused(cause: str, remedy: str) -> None:
    """A refusal or failure: its cause in the title, the remedy under it."""
    st.error(md(remedy, 600), title=md(cause, 600), icon=":material/error:")


def empty(
    title: str,
    text: str,
    page: str | None = None,
    link: str = "",
    icon: str = ":material/inbox:",
    height: int | Literal["content"] = "content",
) -> None:
    """Nothing to show yet: what is missing, and a link to the page that makes it."""
    with st.container(border=True, horizontal_alignment="center", vertical_alignment="center", height=height):
        st.space("small")
        st.markdown(f"## {icon} {title}", text_alignment="center", anchors=False)
        st.markdown(text, text_alignment="center")
        if page is not None:
            st.page_link(page, label=link, icon=":material/arrow_forward:", icon_position="right")
        st.space("small")


@contextmanager
def boundary() -> Iterator[None]:
    """Shows a refusal where it happens; anything unforeseen is logged and shown without a traceback."""
    try:
        yield
    except RetortError as error:
        refused(error.cause, error.remedy)
    except Exception:
        _LOG.exception("A page failed")
        refused(
            "This part of the page could not be shown.",
            "Reload the page; if it happens again, the server's log says why. Your runs are not affected.",
        )


def lacking(recipe: Recipe, settings: Settings) -> None:
    """What the figures of a recipe will lack."""
    for note in beforehand(recipe, settings):
        st.warning(md(note, 500), icon=":material/straighten:")
