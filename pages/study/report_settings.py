"""What a report is told for and what it looks like: reader, prices, traffic, title, author, colour and logo.

All of it stays in the address but the logo, which the session keeps.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.registry.metrics import METRICS
from core.report.brand import ACCENT, AUTHOR, LOGO_BYTES, TITLE, Brand, brand
from core.report.costs import Prices
from core.report.model import AUDIENCES, Audience
from pages.frame import file_input, urls

_LOGO = "report_logo"


def reader() -> Audience:
    """For whom it is."""
    found = urls.select(
        "For",
        "audience",
        AUDIENCES,
        str.capitalize,
        default=AUDIENCES[0],
        width=180,
        help="Executives get a story in plain sentences; engineers every figure with its error and its settings.",
    )
    return "engineers" if found == "engineers" else "executives"


def prices() -> Prices:
    """Price of the machine, its power, and the traffic that the savings are told for."""
    price = _number("Price of an hour (USD)", "price", 1e6, f"{METRICS['cost_per_mtok'].explain} 0: leave money out.")
    watts = _number(
        "Power (W)",
        "watts",
        1e6,
        "What the machine draws while it writes. 0: energy is left out, unless it was measured.",
    )
    traffic = _number(
        "Million tokens a month",
        "traffic",
        1e9,
        "The traffic that savings are told for, such as 250. 0: money and energy are told for a million tokens.",
    )
    return Prices(per_hour=price or None, watts=watts or None, mtok_per_month=traffic or None)


def look() -> dict[str, Any]:
    """Title, author, colour and logo, in a part that opens."""
    with st.expander("Title, author, colour and logo", icon=":material/palette:"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            title = st.text_input(
                "Title",
                key="title",
                bind="query-params",
                max_chars=TITLE,
                placeholder="The question the report answers",
                help="Stands above the recommendation. Leave it empty for the question of the study.",
            )
            author = st.text_input("Author", key="author", bind="query-params", max_chars=AUTHOR, width=260)
            accent = st.color_picker("Colour", ACCENT, key="accent", bind="query-params")
        file_input.ask("logo", "Logo (PNG or JPEG, at most 1 MB)", (".png", ".jpg", ".jpeg"), LOGO_BYTES, _take)
        if st.session_state.get(_LOGO):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.image(st.session_state[_LOGO], width=120)
                st.button("Remove the logo", on_click=lambda: st.session_state.pop(_LOGO, None), type="tertiary")
    return {"title": title, "author": author, "accent": accent}


def _take(name: str, raw: bytes) -> None:
    """Another logo: checked once, kept for the session. One that is refused leaves none."""
    st.session_state.pop(_LOGO, None)
    st.session_state[_LOGO] = brand(logo=raw).logo


def of_address() -> dict[str, Any]:
    """The same as the address says it, for the slides.

    Raises:
        ValueError: a number in the address is none.
        RetortError: a colour is none, or a text too long.
    """
    query = st.query_params
    price, watts, traffic = (float(query.get(name, 0)) or None for name in ("price", "watts", "traffic"))
    return {
        "audience": "engineers" if query.get("audience") == "engineers" else "executives",
        "prices": Prices(per_hour=price, watts=watts, mtok_per_month=traffic),
        "brand": branded(query.get("title", ""), query.get("author", ""), query.get("accent", "")),
    }


def branded(title: str, author: str, accent: str) -> Brand:
    """These with the logo of the session.

    Raises:
        RetortError: a colour is none, or a text too long.
    """
    return brand(title, author, accent).with_logo(st.session_state.get(_LOGO, b""))


def _number(label: str, key: str, most: float, told: str) -> float:
    return float(st.number_input(label, 0.0, most, 0.0, key=key, bind="query-params", width=200, help=told))
