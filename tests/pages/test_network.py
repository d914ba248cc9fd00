"""How soon answers leave the server: no socket of it waits for the other side's acknowledgement."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from pages.frame import network
from tests.pages.conftest import Opens


def listening(stack: ExitStack) -> socket.socket:
    """As Streamlit makes it: without the number of the protocol, so that asyncio leaves Nagle's algorithm on."""
    found = stack.enter_context(socket.socket(socket.AF_INET))
    found.bind(("127.0.0.1", 0))
    found.listen()
    return found


def accepted(server: socket.socket, stack: ExitStack) -> socket.socket:
    stack.enter_context(socket.create_connection(server.getsockname()))
    return stack.enter_context(server.accept()[0])


def at_once(one: socket.socket) -> bool:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_page_that_is_shown_lets_every_connection_send_at_once(opens: Opens) -> None:
    with ExitStack() as stack:
        server = listening(stack)
        early = accepted(server, stack)
        assert not at_once(early)
        network.send_at_once.cache_clear()
        opens()
        assert at_once(early) and at_once(accepted(server, stack))
        early.sendall(b"still open")
