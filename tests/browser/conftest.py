"""A running system on a made-up chain, the system's Chromium, and one browser context per viewport."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import Scenario
from tests.browser import catalogue
from tests.support import servers
from tests.support.waiting import HANG_S

SEED = 7
HANG_MS = HANG_S * 1000
DESKTOP, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}

expect.set_options(timeout=HANG_MS)


def chromium() -> str | None:
    """Return the path of the system's Chromium, None where there is none.

    The headless shell is the same engine without windows; full Chromium runs a second renderer beside each page's.
    """
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = chromium()
    if path is None:
        servers.missing("there is no Chromium on this machine")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": path, "args": [*sandbox, "--disable-background-networking"]}


@pytest.fixture(scope="session")
def chain() -> Iterator[Simulator]:
    with Simulator(Scenario(seed=SEED)) as simulator:
        yield simulator


def demo_environ(chain: Simulator) -> dict[str, str]:
    """Return the environment of the demo, in which logos come from the simulator too."""
    return servers.demo_environ(chain.url, SEED) | {"WALLETKIN_SIMULATOR_BIND": chain.url.removeprefix("http://")}


@pytest.fixture(scope="session")
def running(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Program]:
    """The web process and both workers, as in the demo."""
    folder: pathlib.Path = tmp_path_factory.mktemp("browser")
    with servers.program(folder, demo_environ(chain), ("web", "pipeline", "enrichment")) as program:
        yield program


@pytest.fixture(scope="session")
def base_url(running: servers.Program) -> str:
    return running.url


@pytest.fixture(scope="session")
def site(
    running: servers.Program, chain: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[catalogue.Site]:
    """Every page in every state, made once."""
    with catalogue.build_site(running, chain, tmp_path_factory.mktemp("frozen"), demo_environ(chain)) as made:
        yield made


@pytest.fixture(scope="session")
def desktop(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    yield from _context(browser, base_url, viewport=DESKTOP)


@pytest.fixture(scope="session")
def phone(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    yield from _context(browser, base_url, viewport=PHONE, is_mobile=True, has_touch=True)


def _context(browser: Browser, base_url: str, **options: Any) -> Iterator[BrowserContext]:
    """Make a context for all tests of a viewport: its cache saves each page from loading styles and scripts anew."""
    context = browser.new_context(base_url=base_url, **options)
    context.set_default_timeout(HANG_MS)
    yield context
    context.close()


@pytest.fixture
def page(desktop: BrowserContext) -> Iterator[Page]:
    """A new page of a reader without cookies."""
    yield from _page(desktop)


@pytest.fixture
def phone_page(phone: BrowserContext) -> Iterator[Page]:
    yield from _page(phone)


def _page(context: BrowserContext) -> Iterator[Page]:
    context.clear_cookies()
    made = context.new_page()
    yield made
    made.close()


@pytest.fixture
def quiet(page: Page) -> Iterator[Page]:
    """A page whose console must stay silent: no error, no exception, nothing blocked by the security policy."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []
