"""What the server takes from outside, asked before Streamlit sees it: no uploads, nothing long, no foreign frames.

No page uploads a file (the browser reads what is chosen: pages/frame/file_input.py), yet Streamlit's server holds
whatever is sent to its upload address in memory, before any login.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MESSAGE_BYTES = 4_000_000
"""Of a message to the server: the values of all widgets of a page, and the points chosen in a chart."""
CONNECTIONS = 200
"""Tabs that may be open at once, whoever has them open."""
READING = ("GET", "HEAD", "OPTIONS")
CLOSED = ("/_stcore/upload_file", "/_stcore/metrics", "/_stcore/agent", "/st-metrics")
HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
"""On every answer: no other page may show this one in a frame, where clicks could be stolen."""


class Doors:
    """ASGI middleware around Streamlit's server."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._connection(scope, receive, send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif refused(scope):
            await _refuse(send)  # its body is never read
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _connection(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._open >= CONNECTIONS:
            await receive()
            await send({"type": "websocket.close", "code": 1013})
            return
        self._open += 1
        try:
            await self._app(scope, receive, _with_headers(send))
        finally:
            self._open -= 1


def refused(scope: Scope) -> bool:
    """Whether a request is none that a page makes: pages only read, and speak over the WebSocket."""
    return scope["method"] not in READING or any(part in scope["path"] for part in CLOSED)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            ours = {name for name, _ in HEADERS}
            message["headers"] = [h for h in message.get("headers", ()) if h[0].lower() not in ours] + list(HEADERS)
        await send(message)

    return wrapped


async def _refuse(send: Send) -> None:
    text = b"Retort takes no files and no commands at this address.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    headers += [(b"connection", b"close"), *HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def bound_messages() -> None:
    """Closes a connection whose message grows beyond `MESSAGE_BYTES`, while it comes in.

    Streamlit has one limit for both directions (`server.maxMessageSize`, 200 MB), and what it sends may be large. The
    server makes a protocol for each connection, from the class that is replaced here.
    """
    from uvicorn.protocols.websockets import websockets_sansio_impl as implementation

    whole: Any = implementation.ServerProtocol  # type: ignore[attr-defined]

    class Bounded(whole):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"max_size": MESSAGE_BYTES})

    implementation.ServerProtocol = Bounded  # type: ignore[attr-defined]
