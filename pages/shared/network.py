"""From where this server may be reached: by whom without a login, and from which web pages."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import streamlit as st


def is_local(host: str | None) -> bool:
    """Whether a host name or address is this machine itself."""
    if not host:
        return False
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def only_here() -> bool:
    """Whether the server listens on loopback and answers to this machine's names alone.

    A proxy on this machine reaches loopback for others; it is recognised by the name it has to be allowed under.
    """
    allowed: list[str] = st.get_option("server.allowedHosts") or []
    return is_local(st.get_option("server.address")) and bool(allowed) and all(is_local(h.strip()) for h in allowed)


def foreign_page(home: str = "") -> bool:
    """Whether the web page that opened this session is another program's.

    Streamlit lets any page of this machine in, whatever its port: a page another program serves on localhost could
    drive Retort. Only the page under the address that was asked, or under `home`, may.

    Args:
        home: scheme, host and port that people use, where a login is set up.
    """
    origin = st.context.headers.get("Origin")
    if origin is None:  # not a browser
        return False
    own = {home, *(st.get_option("server.corsAllowedOrigins") or [])}
    asked = st.context.headers.get("Host") or ""
    return origin not in own and urlsplit(origin).netloc.lower() != asked.lower()
