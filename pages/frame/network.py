"""The network side of the server: from where it may be reached, and how soon its answers leave."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

import psutil
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


@cache
def send_at_once() -> None:
    """Lets what is ready leave at once, on every connection of this server, those to come included.

    Streamlit's sockets wait for the last packet to be acknowledged before a small one is sent (Nagle), and the other
    side takes 40 ms for that: asyncio would switch it off (TCP_NODELAY), but only on sockets made with the number of
    the protocol. Connections inherit the choice from the socket that listens.
    """
    try:
        descriptors = [c.fd for c in psutil.Process().net_connections("tcp")]
    except psutil.Error:  # a system that does not tell: answers come as before
        return
    for descriptor in descriptors:
        # A copy of the descriptor: the socket is the same, and closing the copy does it no harm. Some close meanwhile.
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
