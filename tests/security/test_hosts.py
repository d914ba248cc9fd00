"""From where the dashboard answers, asked of a real server: addresses, host names, web pages, uploads."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

import psutil
import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.exceptions import ConnectionClosed

from core.base.settings import Settings
from pages.frame.requests import CONNECTIONS, Doors
from scripts.dashboard import free_port, serving
from tests.security import wire
from tests.security.conftest import ROLES, STUDY, study_home

pytestmark = [pytest.mark.jobs, pytest.mark.slow]


SECRET = "a-secret-for-cookies-of-these-tests"
AUTH = f"""[auth]
redirect_uri = "https://retort.example/oauth2callback"
cookie_secret = "{SECRET}"
client_id = "retort"
client_secret = "hush"
server_metadata_url = "https://provider.example/.well-known/openid-configuration"
"""


class Local(NamedTuple):
    port: int
    settings: Settings
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A server as `make run` starts it: no login, this machine only."""
    port = free_port()
    with study_home(tmp_path_factory.mktemp("local") / "home") as settings, serving(settings, port) as process:
        yield Local(port, settings, process)


def test_the_person_at_this_machine_needs_no_login(local: Local) -> None:
    seen = wire.visit(local.port, page="runs")
    assert STUDY.encode() in seen.raw and "Account" not in seen.menu and "Runs" in seen.menu


def test_it_listens_on_loopback_alone(local: Local) -> None:
    found = psutil.Process(local.process.pid).net_connections("inet")
    listening = {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "LOCALHOST", "localhost."])
def test_this_machines_names_are_answered(local: Local, host: str) -> None:
    name = host.format(port=local.port)
    seen = wire.visit(local.port, host=name, origin=f"http://{name}", page="runs")
    assert STUDY.encode() in seen.raw


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example:{port}",
        "192.0.2.1",
        "0.0.0.0:{port}",
        "127.0.0.2:{port}",
    ],
)
def test_other_names_are_refused(local: Local, host: str) -> None:
    """DNS rebinding: a name of the attacker leads to this machine, and the page is of the same origin as the name."""
    name = host.format(port=local.port)
    assert wire.refused(local.port, host=name, origin=f"http://{name}") == 403
    assert wire.refused(local.port, host=name, origin=None) == 403
    assert wire.refused(local.port, host=name) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1.evil.example:{port}", "null", "file://"])
def test_pages_of_other_hosts_are_refused(local: Local, origin: str) -> None:
    assert wire.refused(local.port, origin=origin.format(port=local.port)) == 403


@pytest.mark.parametrize(
    "origin", ["http://localhost:1", "http://127.0.0.1:{other}", "https://0.0.0.0", "http://localhost"]
)
def test_pages_other_programs_of_this_machine_serve_get_nothing(local: Local, origin: str) -> None:
    """Streamlit lets them connect; the frame shows them a refusal, and no widget to press."""
    seen = wire.visit(local.port, origin=origin.format(other=local.port + 1), page="runs")
    assert "Another program's web page tried to open Retort." in seen.words
    assert seen.elements("button") == [] and seen.menu == [] and STUDY.encode() not in seen.raw


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "GET"])
def test_nothing_can_be_uploaded(local: Local, method: str) -> None:
    """Not even with the token that Streamlit asks for, by a tab that is open."""
    token = wire.token_of(local.port)
    with wire.session(local.port) as open_tab:
        open_tab.runs()
        path = f"/_stcore/upload_file/{open_tab.id}/a1"
        form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.yaml"\r\n\r\nx\r\n--b--\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=b", "Cookie": f"_streamlit_xsrf={token}"}
        status, body, _ = wire.request(local.port, method, path, form, kind | {"X-Xsrftoken": token})
        assert status == 403 and b"takes no files" in body


def held(local: Local) -> int:
    return psutil.Process(local.process.pid).memory_info().rss


def test_a_stranger_does_not_make_the_server_hold_what_is_sent(local: Local) -> None:
    """Twenty files of 20 MB to the upload address, and twenty messages of 5 MB: all refused, none kept."""
    wire.visit(local.port)
    before, chunk = held(local), b"x" * 1_000_000
    for number in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
        try:
            connection.putrequest("PUT", f"/_stcore/upload_file/none/{number}")
            connection.putheader("Content-Length", str(20 * len(chunk)))
            connection.endheaders()
            with suppress(OSError):  # it hangs up in the middle
                for _ in range(20):
                    connection.send(chunk)
        finally:
            connection.close()
        with wire.session(local.port) as tab, pytest.raises(ConnectionClosed):
            tab.connection.send(5 * chunk)
            tab.connection.recv(timeout=60)
    assert held(local) - before < 60_000_000
    assert STUDY.encode() in wire.visit(local.port, page="runs").raw, "and it goes on answering"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/runs",
        "/_stcore/health",
        "/_stcore/host-config",
        "/no/such/file.js",
        "/media/none",
        "/component/none/x",
        "/_stcore/upload_file/a/b",
        "/_stcore/metrics",
    ],
)
def test_no_answer_may_be_shown_in_a_frame(local: Local, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)
    connection.request("GET", path)
    headers = connection.getresponse().headers
    connection.close()
    assert headers.get_all("Content-Security-Policy") == ["frame-ancestors 'none'"]
    assert headers.get_all("X-Frame-Options") == ["DENY"]


def test_strangers_learn_nothing_from_metrics_and_health(local: Local) -> None:
    assert wire.request(local.port, "GET", "/_stcore/metrics")[0] == 403
    assert wire.request(local.port, "GET", "/_stcore/health")[1] == b"ok"
    assert wire.request(local.port, "GET", "/_stcore/script-health-check")[1].startswith(b"<!")  # as any page


def test_so_many_tabs_and_no_more() -> None:
    """Of the middleware alone: whoever comes when all doors are taken is told to try again later."""
    said: list[str] = []

    async def streamlit(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.5)

    async def visit(door: Doors) -> None:
        async def send(message: Any) -> None:
            said.append(message["type"])

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        await door({"type": "websocket", "path": "/_stcore/stream"}, receive, send)

    async def everybody() -> None:
        door = Doors(streamlit)
        await asyncio.gather(*(visit(door) for _ in range(CONNECTIONS + 3)))
        await visit(door)

    with ThreadPoolExecutor(1) as thread:  # the browser tests leave an event loop in this one
        thread.submit(asyncio.run, everybody()).result()
    assert said.count("websocket.close") == 3 and said.count("websocket.accept") == CONNECTIONS + 1


def test_programs_cannot_drive_it_without_a_page(local: Local) -> None:
    """Streamlit's agent interface stays off."""
    for path in ("interact", "mcp"):
        status, body, _ = wire.request(
            local.port, "POST", f"/_stcore/agent/{path}", b"{}", {"Content-Type": "application/json"}
        )
        assert status == 403 and b"no commands" in body, (path, status, body[:200])


@pytest.mark.parametrize(
    "option", ["--server.address=0.0.0.0", "--server.allowedHosts=retort.example"], ids=["address", "public name"]
)
def test_within_reach_of_others_it_refuses_without_a_login(local: Local, option: str) -> None:
    port = free_port()
    with serving(local.settings, port, option):
        asked: dict[str, Any] = {"host": f"retort.example:{port}", "origin": None} if "allowed" in option else {}
        for page in ("runs", ""):
            seen = wire.visit(port, page=page, **asked)
            assert "Retort has no login set up, so it answers on this machine only." in seen.words
            assert seen.menu == [] and seen.elements("button") == [] and STUDY.encode() not in seen.raw


def test_with_a_login_it_answers_to_its_public_name(local: Local) -> None:
    """As behind a proxy that takes https: to whoever signed in there, and to nobody from elsewhere."""
    port, file = free_port(), local.settings.home.parent / "secrets.toml"
    file.write_text(AUTH)
    local.settings.roles.write_text(ROLES)
    with serving(local.settings, port, "--server.allowedHosts=retort.example", STREAMLIT_SECRETS_FILES=str(file)):
        token = wire.token_of(port)
        who = {"iat": int(time.time()), "sub": "1", "email": "viewer@example.org", "email_verified": True}
        who |= {"origin": "https://retort.example", "is_logged_in": True, "provider": "default"}
        cookie = create_signed_value(SECRET, "_streamlit_user", json.dumps(who)).decode()
        signed_in: dict[str, Any] = {
            "page": "runs",
            "token": token,
            "host": "retort.example",
            "cookies": {"_streamlit_xsrf": token, "_streamlit_user": cookie},
        }
        assert STUDY.encode() in wire.visit(port, origin="https://retort.example", **signed_in).raw
        nobody = wire.visit(port, origin="https://retort.example", host="retort.example", page="runs")
        assert "Sign in to Retort" in nobody.words and STUDY.encode() not in nobody.raw
        assert wire.refused(port, origin="https://evil.example", host="retort.example") == 403
        assert wire.refused(port) == 403, "the machine's own names are no longer among the allowed ones"


def test_a_login_whose_file_is_broken_lets_nobody_in(local: Local) -> None:
    """Streamlit then goes on as if there were none, which would open everything."""
    port, file = free_port(), local.settings.home.parent / "secrets.toml"
    file.write_text('[auth]\nclient_secret = "hush\n')
    with serving(local.settings, port, STREAMLIT_SECRETS_FILES=str(file)):
        seen = wire.visit(port, page="runs")
        assert "cannot be read as TOML" in seen.words and "docs/login.md" in seen.words
        assert seen.menu == [] and seen.elements("button") == [] and STUDY.encode() not in seen.raw
        assert b"hush" not in seen.raw
