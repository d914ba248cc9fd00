"""The link somebody came with before they signed in: Streamlit always leads back to the Start page."""

from __future__ import annotations

import threading
from collections import OrderedDict

import streamlit as st

Link = tuple[str, dict[str, list[str]]]
"""A page's file name, and the query of its address."""

_MOST = 1_000
_lock = threading.Lock()
_links: OrderedDict[bytes, Link] = OrderedDict()


def remember(page: str) -> None:
    """Keeps the address of this run of the script for the browser it runs for."""
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    browser = _browser()
    if browser and (page != "start" or query):
        with _lock:
            _links[browser] = (page, query)
            while len(_links) > _MOST:
                _links.popitem(last=False)


def remembered() -> Link | None:
    """What this browser came with before its user signed in; once."""
    with _lock:
        return _links.pop(_browser(), None)


def _browser() -> bytes:
    """What tells this browser from others: the token Streamlit gives each against cross-site requests; b'' if none.

    Its cookie is "2|mask|token|time" in hexadecimal digits, with a new mask each time.
    """
    try:
        _, mask, masked, _ = st.context.cookies.get("_streamlit_xsrf", "").split("|")
        key = bytes.fromhex(mask)
        return bytes(byte ^ key[i % len(key)] for i, byte in enumerate(bytes.fromhex(masked)))
    except (ValueError, ZeroDivisionError):
        return b""
