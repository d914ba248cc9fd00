"""A report shown slide by slide: large words, one idea each, moved by keys and by buttons.

The slide's number is in the address, so that the browser's back, forward and reload keep their meaning.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from core.report import charts
from core.report.bars import bars
from core.report.brand import readable
from core.report.model import Report
from core.report.picture import Picture
from core.report.presented import presented
from core.report.slide import Slide
from core.report.story import dated, source, story
from core.report.svg import to_svg
from pages.frame import shell
from pages.frame.text import md

_ASSETS = Path(__file__).parent / "assets"
_WIDE = ((1000.0, 500.0), 900.0)  # of a chart and of bars, which are then made as large as the screen allows
_NARROW = ((380.0, 460.0), 380.0)  # for a phone


def show(given: Report) -> None:
    """The slide the address names, and the ways to the others."""
    report = presented(given)
    deck = story(report)
    number = min(len(deck), max(1, _number()))
    here, brand = deck[number - 1], report.brand
    drawn, narrow = (_drawing(report, here, *sizes) for sizes in (_WIDE, _NARROW))
    _stage()(
        key="slide",
        data={
            "kind": here.kind,
            "title": here.title,
            "lead": here.lead,
            "big": here.big,
            "lines": list(here.lines),
            "table": [list(r) for r in here.table],
            "picture": to_svg(drawn, "slide-chart", keys=report.audience == "engineers") if drawn else "",
            "narrow": to_svg(narrow, "slide-narrow", keys=False) if narrow else "",
            "alt": drawn.told if drawn else "",
            "accent": brand.accent,
            "on": brand.ink,
            "strong": readable(brand.accent, shell.ground().ground),
            "logo": base64.b64encode(brand.logo).decode(),
            "number": number,
            "count": len(deck),
        },
        on_go_change=_pressed,
    )
    with st.bottom, st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous",
            icon=":material/arrow_back:",
            key="slide-previous",
            disabled=number == 1,
            on_click=_go,
            args=(number - 1,),
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            key="slide-next",
            disabled=number == len(deck),
            on_click=_go,
            args=(number + 1,),
        )
        said = f"{md(source(report))}, {dated(report)}"
        st.caption(f"Slide {number} of {len(deck)}. {said}. Arrow keys move, Esc leaves.")
        st.space("stretch")
        st.button("Leave", icon=":material/close_fullscreen:", key="slide-leave", on_click=_go, args=(0,))


def _drawing(report: Report, here: Slide, chart: tuple[float, float], width: float) -> Picture | None:
    ground = shell.ground()
    if here.kind == "chart" and (points := charts.points(report)):
        return charts.drawn(report, points, ground, chart)
    if here.candidate is not None and (found := charts.promised(report, here.candidate)):
        return bars(found, here.title, here.candidate.method, width, ground)
    return None


def _number() -> int:
    given = st.query_params.get("slide", "1")
    return int(given) if given.isdecimal() and len(given) < 6 else 1


def _pressed() -> None:
    wanted = st.session_state["slide"]["go"]
    if wanted is not None:
        _go(int(wanted))


def _go(number: int) -> None:
    """To a slide; 0 leaves."""
    if number > 0:
        st.query_params["slide"] = str(number)
    else:
        leave()


def leave() -> None:
    """Back to the page with the settings: one new address, so that the browser's back returns to the slide."""
    query = st.query_params
    query.from_dict({name: query.get_all(name) for name in query if name not in ("present", "slide")})


@cache
def _files() -> tuple[str, str]:
    css, js = ((_ASSETS / f"slide.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return css, js


def _stage() -> Any:
    css, js = _files()
    return st.components.v2.component("retort.slide", css=css, js=js)
