"""Sign-in against a real OpenID provider: who sees what, who may do what, and what is not believed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocket, expect
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from core.base.roles import NEEDS
from core.store import Store
from pages.frame import shell
from tests.security import wire
from tests.security.conftest import STUDY, Shared

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIGN_IN = "## Sign in to Retort"
SIGN_IN_BUTTON = "Sign in"
PATIENCE = 120_000  # milliseconds: on a busy machine a browser takes long to load anything

expect.set_options(timeout=PATIENCE)


def identity(shared: Shared, person: str, secret: str = "", **claims: Any) -> str:
    """The cookie a server with this secret would have given somebody."""
    payload = {
        "sub": person,
        "email": f"{person}@example.org",
        "email_verified": True,
        "iat": int(time.time()),
        "origin": shared.address,
        "is_logged_in": True,
        "provider": "default",
    }
    return create_signed_value(secret or shared.cookie_secret, "_streamlit_user", json.dumps(payload | claims)).decode()


def as_somebody(shared: Shared, cookie: str) -> dict[str, Any]:
    """Options of a connection that sends this identity."""
    token = wire.token_of(shared.port)
    return {"token": token, "cookies": {"_streamlit_xsrf": token, "_streamlit_user": cookie}}


def asks_to_sign_in(seen: wire.Seen) -> None:
    """The sign-in, and nothing else."""
    assert seen.words.splitlines() == [SIGN_IN, "Your organisation's account opens it.", SIGN_IN_BUTTON]
    assert seen.menu == [] and STUDY.encode() not in seen.raw


def test_nothing_but_the_sign_in_is_shown_under_any_address(shared: Shared) -> None:
    """First of all, so that the server is fresh: nobody has been through `st.navigation` yet."""
    run = Store(shared.settings).runs.find()[0].id
    for name in ["tradeoffs", *shell.PAGES, "account", "nowhere"]:
        asks_to_sign_in(wire.visit(shared.port, page="" if name == "start" else name, query=f"run={run}"))


def test_an_identity_of_this_server_is_believed(shared: Shared) -> None:
    seen = wire.visit(shared.port, page="runs", **as_somebody(shared, identity(shared, "viewer")))
    assert STUDY.encode() in seen.raw and seen.menu == [t for t, _ in shell.PAGES.values()] + ["Account"]
    assert "signed in as viewer@example.org, a viewer" in seen.words


@pytest.mark.parametrize(
    "wrong", ["another secret", "unsigned", "changed", "another origin", "no token", "old signature", "not logged in"]
)
def test_a_forged_identity_is_not_believed(shared: Shared, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = identity(shared, "admin")
    options = as_somebody(shared, cookie)
    if wrong == "another secret":
        cookie = identity(shared, "admin", "x" * 40)
    elif wrong == "unsigned":
        cookie = cookie.rsplit(".", 2)[0]
    elif wrong == "changed":
        cookie = ".".join([identity(shared, "viewer").rsplit(".", 2)[0], *cookie.rsplit(".", 2)[1:]])
    elif wrong == "another origin":
        cookie = identity(shared, "admin", origin="http://127.0.0.1:1")
    elif wrong == "no token":
        options["token"] = "none"
    elif wrong == "old signature":
        now = time.time()
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: now - 40 * 24 * 3600)
            cookie = identity(shared, "admin", iat=int(now))
    elif wrong == "not logged in":
        cookie = identity(shared, "admin", is_logged_in="yes")
    options["cookies"] |= {"_streamlit_user": cookie}
    asks_to_sign_in(wire.visit(shared.port, page="runs", **options))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iat": int(time.time()) - 13 * 3600}, "Your sign-in has expired."),
        ({"email_verified": False}, "does not say that it has verified the address admin"),
        ({"email": "stranger@example.org"}, "who has no role here"),
    ],
)
def test_somebody_who_does_not_count_is_told_why_and_sees_nothing(
    shared: Shared, claims: dict[str, Any], said: str
) -> None:
    seen = wire.visit(shared.port, page="runs", **as_somebody(shared, identity(shared, "admin", **claims)))
    assert said in seen.words and "Sign out" in seen.words
    assert seen.menu == [] and STUDY.encode() not in seen.raw


@pytest.mark.parametrize("answer", ["code=x&state=y", "code=x", "error=access_denied&state=y", "provider=x", ""])
def test_an_answer_of_the_provider_that_nobody_asked_for_signs_nobody_in(shared: Shared, answer: str) -> None:
    for path in ("oauth2callback", "auth/login", "auth/logout"):
        status, _, cookies = wire.request(shared.port, "GET", f"/{path}?{answer}")
        assert status == 302
        assert not cookies.get("_streamlit_user") or cookies["_streamlit_user"]["max-age"] == "0"


def test_a_role_that_is_taken_away_is_gone_at_once(shared: Shared) -> None:
    before = shared.settings.roles.read_text()
    with wire.session(shared.port, **as_somebody(shared, identity(shared, "editor"))) as open_tab:
        assert STUDY.encode() in open_tab.runs(page="runs").raw
        try:
            shared.settings.roles.write_text('[people]\n"admin@example.org" = "admin"\n')
            assert "who has no role here" in open_tab.runs(page="runs").words
            shared.settings.roles.write_text("nonsense")
            seen = open_tab.runs(page="runs")
            assert "cannot be read as TOML" in seen.words and STUDY.encode() not in seen.raw
        finally:
            shared.settings.roles.write_text(before)
        assert STUDY.encode() in open_tab.runs(page="runs").raw


def test_core_refuses_whatever_a_page_lets_somebody_press(shared: Shared) -> None:
    """The button an editor sees is pressed when they are a viewer already: core says no, and nothing happens."""
    store, roles = Store(shared.settings), shared.settings.roles.read_text()
    run = next(r for r in store.runs.find() if r.state == "failed")
    query = f"run={run.id}"
    with wire.session(shared.port, **as_somebody(shared, identity(shared, "editor"))) as tab:
        button = tab.runs("runs", query).button("Retry")
        assert not button.disabled
        try:
            shared.settings.roles.write_text('[people]\n"editor@example.org" = "viewer"\n')
            seen = tab.runs(query=query, press=button.id)
        finally:
            shared.settings.roles.write_text(roles)
        assert "Starting or stopping what computes needs the role editor, and yours is viewer." in seen.words
        assert seen.button("Retry").disabled
        assert store.runs.get(run.id) == run and store.events.tail(run.id) == []
        assert not tab.runs("runs", query).button("Retry").disabled
        tab.runs(query=query, press=button.id)
    assert store.runs.get(run.id).state == "queued"
    assert [e.message for e in store.events.tail(run.id)] == ["Queued again by editor@example.org."]
    store.runs.request_cancel(run.id)


@pytest.fixture
def tab(shared: Shared, chromium: Browser) -> Iterator[Page]:
    """A tab of a browser nobody has signed in with; at the end, what it got holds no secret."""
    context: BrowserContext = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    context.route(lambda url: not url.startswith((shared.address, shared.provider)), _not_here)
    page, got = context.new_page(), bytearray()

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: got.extend(frame if isinstance(frame, bytes) else frame.encode()))

    page.on("websocket", listen)
    yield page
    got.extend(page.content().encode())
    context.close()
    assert len(got) > 1_000
    assert [s for s in shared.secrets if s.encode() in got] == []


def _not_here(route: Route) -> None:
    route.abort()


def settles(page: Page) -> None:
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(300)


def signs_in(page: Page, shared: Shared, person: str, path: str) -> None:
    page.goto(f"{shared.address}/{path}")
    page.get_by_role("button", name=SIGN_IN_BUTTON).click()
    page.get_by_role("button", name=person, exact=True).click()
    page.wait_for_url(f"{shared.address}/**")
    settles(page)


def test_a_viewer_comes_back_to_the_link_looks_and_signs_out_everywhere(shared: Shared, tab: Page) -> None:
    store = Store(shared.settings)
    run = next(r for r in store.runs.find() if r.state == "done")
    signs_in(tab, shared, "viewer", f"runs?run={run.id}")
    expect(tab.get_by_role("heading", name=STUDY)).to_be_visible()
    assert tab.url.endswith(f"/runs?run={run.id}")
    expect(tab.get_by_role("button", name="Delete")).to_be_disabled()
    expect(tab.get_by_role("button", name="Save")).to_be_disabled()
    expect(tab.get_by_text("you may look and download")).to_be_visible()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Recipe (YAML)").click()
    assert STUDY in download.value.path().read_text()

    other = tab.context.new_page()
    other.goto(f"{shared.address}/account")
    expect(other.get_by_text("with the role viewer")).to_be_visible()
    expect(other.get_by_text("needs the role")).to_have_count(len(NEEDS) - 1)  # all but looking
    kept = tab.context.cookies()
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{shared.provider}/oauth2/end_session**")
    settled = tab.context.cookies()
    assert any(c["name"] == "_streamlit_user" for c in kept) and all(c["name"] != "_streamlit_user" for c in settled)

    tab.get_by_role("button", name="All runs").click()  # the first tab is still open
    expect(tab.get_by_role("heading", name="Sign in to Retort")).to_be_visible()
    tab.context.add_cookies(kept)  # somebody kept a copy of the identity
    tab.goto(f"{shared.address}/runs")
    expect(tab.get_by_role("heading", name="Sign in to Retort")).to_be_visible()
    assert STUDY not in tab.content()


def test_an_editor_starts_what_an_admin_may_delete(shared: Shared, tab: Page) -> None:
    store = Store(shared.settings)
    run = next(r for r in store.runs.find() if r.name == "Broken study")
    signs_in(tab, shared, "editor", f"runs?run={run.id}")
    expect(tab.get_by_role("button", name="Delete")).to_be_disabled()
    again, cancel = (tab.get_by_role("button", name=re.compile(n)) for n in ("Resume|Retry", "Cancel"))
    again.click()
    expect(cancel).to_be_visible()  # the words below may already stand there, from a test before
    expect(tab.get_by_text("Queued again by editor").last).to_be_visible()
    assert store.runs.get(run.id).state == "queued"
    cancel.click()
    expect(again).to_be_visible()
    expect(tab.get_by_text("Cancelled by editor").last).to_be_visible()
    assert store.runs.get(run.id).state == "cancelled"


def test_an_address_the_provider_has_not_verified_opens_nothing(shared: Shared, tab: Page) -> None:
    signs_in(tab, shared, "liar", "runs")
    expect(tab.get_by_text("does not say that it has verified the address liar")).to_be_visible()
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()
    assert STUDY not in tab.content() and tab.locator('[data-testid="stTopNavLink"]').count() == 0


def test_no_secret_is_written_anywhere(shared: Shared) -> None:
    """Last, after everything above was logged and stored."""
    files = [p for p in shared.settings.home.rglob("*") if p.is_file()]
    assert {"server.log", "retort.sqlite3"} <= {p.name for p in files}
    assert [p for p in files if any(s.encode() in p.read_bytes() for s in shared.secrets)] == []
