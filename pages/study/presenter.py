"""A report shown slide by slide: large words, one idea each, moved by keys and by buttons.

The slide's number is in the address, so that the browser's back, forward and reload keep their meaning.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from core.figures import promised_vs_measured, tradeoff
from core.report import charts
from core.report.model import Report
from core.report.slides import Slide, slides
from pages.frame import shell
from pages.frame.charts import STATIC
from pages.frame.text import md

_ASSETS = Path(__file__).parent / "assets"
_CHART, _BAR, _WORDS = 600, 54, 19  # pixels: a chart, a bar, letters


def show(report: Report) -> None:
    """The slide the address names, and the ways to the others."""
    deck = slides(report)
    number = min(len(deck), max(1, _number()))
    here = deck[number - 1]
    _stage()(
        key="slide",
        data={
            "kind": here.kind,
            "title": here.title,
            "lines": list(here.lines),
            "table": [list(r) for r in here.table],
            "number": number,
            "count": len(deck),
        },
        on_go_change=_pressed,
    )
    _drawing(report, here)
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
        st.caption(f"Slide {number} of {len(deck)}. Run {md(report.run.id)}. Arrow keys move, Esc leaves.")
        st.space("stretch")
        st.button("Leave", icon=":material/close_fullscreen:", key="slide-leave", on_click=_go, args=(0,))


def _drawing(report: Report, here: Slide) -> None:
    ground = shell.ground()
    if here.kind == "chart":
        points = charts.points(report)
        st.plotly_chart(
            _large(charts.chart(report, points, ground), _CHART),
            key="slide-chart",
            theme=None,
            config=STATIC,
            alt=tradeoff.alt(points),
        )
    elif here.candidate is not None and (found := charts.promised(report, here.candidate)):
        figure = _large(charts.bars(here.candidate, found, ground), _BAR * len(found) + 80)
        st.plotly_chart(
            figure,
            key=f"slide-bars-{here.candidate.key}",
            theme=None,
            config=STATIC,
            alt=promised_vs_measured.alt(here.title, found),
        )


def _large(figure: Any, height: int) -> Any:
    """A figure with words for the back of a room."""
    figure.update_layout(height=height, font_size=_WORDS, legend_font_size=16)
    figure.update_xaxes(tickfont_size=_WORDS, title_font_size=_WORDS)
    figure.update_yaxes(tickfont_size=_WORDS, title_font_size=_WORDS)
    figure.update_traces(textfont_size=_WORDS, selector={"type": "scatter"})
    figure.update_annotations(font_size=_WORDS)
    return figure


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
