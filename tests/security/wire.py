"""Speaks with a real server as a browser does, without one: what a page would get can be read to the last byte."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Navigation_pb2 import Navigation
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

SECONDS = 60


def visit(port: int, **options: Any) -> Seen:
    """What one visit shows; see `session` for its options, and `Session.runs` for the page and its query."""
    page = {k: options.pop(k) for k in ("page", "query") if k in options}
    with session(port, **options) as one:
        return one.runs(**page)


class Seen:
    """The messages of one run of the script."""

    def __init__(self, messages: list[ForwardMsg]) -> None:
        self.messages = messages

    @property
    def raw(self) -> bytes:
        return b"".join(m.SerializeToString() for m in self.messages)

    def elements(self, kind: str) -> list[Any]:
        new = [m.delta.new_element for m in self.messages if m.WhichOneof("type") == "delta"]
        return [getattr(e, kind) for e in new if e.WhichOneof("type") == kind]

    @property
    def words(self) -> str:
        said = [m.body for m in self.elements("markdown")]
        said += [f"{a.title} {a.body}" for a in self.elements("alert")]
        said += [t.body for t in self.elements("heading")]
        said += [b.label for b in self.elements("button")]
        return re.sub(r"\\(.)", r"\1", "\n".join(said)).replace("\u2060", "")  # as it is read, without its escapes

    @property
    def menu(self) -> list[str]:
        """Titles the menu shows; none where it is hidden."""
        found = [m.navigation for m in self.messages if m.WhichOneof("type") == "navigation"]
        return [p.page_name for p in found[-1].app_pages] if found and found[-1].position != Navigation.HIDDEN else []

    def button(self, label: str) -> Any:
        return next(b for b in self.elements("button") if b.label == label)


class Session:
    """An open connection with a server."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.id = ""
        self.page = ""

    def runs(self, page: str = "", query: str = "", press: str = "") -> Seen:
        """Runs a page's script; `press` is the id of a button of the page before, as if it had been pressed."""
        message = BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = page, query
        if press:
            message.rerun_script.page_name, message.rerun_script.page_script_hash = "", self.page
            pressed = message.rerun_script.widget_states.widgets.add()
            pressed.id, pressed.trigger_value = press, True
        self.connection.send(message.SerializeToString())
        messages: list[ForwardMsg] = []
        while True:
            received = self.connection.recv(timeout=SECONDS)
            assert isinstance(received, bytes)
            messages.append(ForwardMsg.FromString(received))
            kind = messages[-1].WhichOneof("type")
            if kind == "new_session":
                self.id = messages[-1].new_session.initialize.session_id
            if kind == "navigation":
                self.page = messages[-1].navigation.page_script_hash
            if kind == "script_finished" and messages[-1].script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return Seen(messages)


@contextmanager
def session(
    port: int,
    *,
    host: str | None = None,
    origin: str | None = "",
    cookies: dict[str, str] | None = None,
    token: str = "",
) -> Iterator[Session]:
    """A connection; without `host` and `origin` those of the server itself, with `origin=None` none is sent."""
    own = f"127.0.0.1:{port}"
    headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in (cookies or {}).items())} if cookies else {}
    with connect(
        f"ws://{host or own}/_stcore/stream",
        origin=f"http://{own}" if origin == "" else origin,  # type: ignore[arg-type]
        additional_headers=headers,
        subprotocols=["streamlit", token or "none"],  # type: ignore[list-item]
        sock=_socket(port),
        open_timeout=SECONDS,
        max_size=None,
        proxy=None,
    ) as connection:
        yield Session(connection)


def refused(port: int, **options: Any) -> int | None:
    """The status a connection is refused with, None where it is accepted."""
    try:
        with session(port, **options):
            return None
    except InvalidStatus as error:
        return error.response.status_code


def request(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, SimpleCookie]:
    """Status, body and cookies of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        cookies = SimpleCookie()
        for line in answer.headers.get_all("Set-Cookie") or []:
            cookies.load(line)
        return answer.status, answer.read(), cookies
    finally:
        connection.close()


def token_of(port: int) -> str:
    """The token against cross-site requests that this server gives a browser."""
    found = request(port, "GET", "/_stcore/host-config")[2]
    found.update(request(port, "GET", "/_stcore/health")[2])
    token = found["_streamlit_xsrf"].value
    assert re.fullmatch(r"[\w|-]+", token)
    return token


def _socket(port: int) -> Any:
    import socket

    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
