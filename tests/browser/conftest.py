"""A running system on a made-up chain, and the system's Chromium."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import Scenario
from tests.browser import catalogue
from tests.support import servers

SEED = 7


def chromium() -> str | None:
    """Return the path of the system's Chromium, None where there is none.

    The headless shell is the same engine without a window, which has a renderer of its own beside each page's.
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
def stage(
    running: servers.Program, chain: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[catalogue.Stage]:
    """Every page in every state, made once."""
    with catalogue.staged(running, chain, tmp_path_factory.mktemp("frozen"), demo_environ(chain)) as made:
        yield made
