"""A real browser on a real, fresh server. Debian's chromium is driven; without one these tests say so and skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from core.base.settings import Settings
from scripts.dashboard import free_port, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


Serves = Callable[[Settings], str]


@pytest.fixture
def serves() -> Iterator[Serves]:
    """`serves(settings)` starts a server on that home and returns its address."""
    with ExitStack() as started:

        def go(settings: Settings) -> str:
            port = free_port()
            started.enter_context(serving(settings, port))
            return f"http://127.0.0.1:{port}"

        yield go


_PLACE = """(plot, key) => {
  const trace = plot._fullData.find(t => (t.customdata || []).includes(key));
  const i = trace.customdata.indexOf(key), {xaxis: x, yaxis: y} = plot._fullLayout;
  plot.scrollIntoView({block: 'center'});
  const corner = plot.querySelector('.nsewdrag').getBoundingClientRect();
  return {x: corner.x + x.l2p(x.d2l(trace.x[i])), y: corner.y + y.l2p(y.d2l(trace.y[i]))};
}"""


class Visitor:
    """A browser tab that remembers what went wrong in it."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # Streamlit looks for its server under every part of a deep link's path first.
        looking = message.location.get("url", "").endswith(("/_stcore/health", "/_stcore/host-config"))
        if message.type == "error" and not looking:
            self.errors.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(request.url)

    def opens(self, path: str) -> Page:
        self.page.goto(f"{self.address}/{path}")
        self.settles()
        return self.page

    def settles(self) -> None:
        """Waits until the script of the page has run."""
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        self.page.wait_for_timeout(300)

    def clicks_point(self, key: str) -> None:
        """Clicks a candidate on the trade-off chart, where plotly says it lies."""
        place = self.page.locator(".js-plotly-plot").first.evaluate(_PLACE, key)
        self.page.mouse.click(place["x"], place["y"])
        self.page.wait_for_url(f"**{key[:10]}**")
        self.settles()

    def overflow(self) -> int:
        """Pixels the page is wider than the window."""
        script = "e => e.scrollWidth - e.clientWidth"
        return int(self.page.locator('[data-testid="stMain"]').evaluate(script))

    def is_well(self) -> None:
        assert self.errors == [], self.errors
        assert self.foreign == [], f"the page asked other hosts: {self.foreign}"


Visits = Callable[..., Visitor]


@pytest.fixture
def visits(chromium: Browser, serves: Serves) -> Iterator[Visits]:
    """`visits(settings, width=390, theme="dark")` gives a tab on a fresh server of that home."""
    contexts: list[BrowserContext] = []
    servers: dict[Path, str] = {}

    def go(settings: Settings, width: int = 1440, theme: str = "light") -> Visitor:
        if settings.home not in servers:
            servers[settings.home] = serves(settings)
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,  # type: ignore[arg-type]
        )
        contexts.append(context)
        return Visitor(context, servers[settings.home])

    yield go
    for context in contexts:
        context.close()
