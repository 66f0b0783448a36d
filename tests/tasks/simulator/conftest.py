"""A small made-up world, shared by the tests of the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tasks.simulator.faults import Faults
from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.world import World, build_world
from tests.support.waiting import HANG_S

END_AT = 1_795_000_000
SMALL = Scenario(independents=12, transactions_per_wallet=40, long_history=1_300, end_at=END_AT)


@pytest.fixture(scope="session")
def small_world() -> World:
    return build_world(SMALL)


@pytest.fixture(scope="module")
def _running() -> Iterator[Simulator]:
    with Simulator(SMALL) as simulator:
        yield simulator


@pytest.fixture
def simulator(_running: Simulator) -> Simulator:
    """A running simulator in good health, with fresh counts."""
    _running.state.faults = Faults(failing_addresses=_running.state.faults.failing_addresses)
    _running.set_faults()
    _running.state.reset_stats()
    return _running


@pytest.fixture
def post(simulator: Simulator) -> Iterator[Callable[[Any], requests.Response]]:
    """Post JSON (or raw bytes) to the node."""
    with requests.Session() as session:

        def send(content: Any) -> requests.Response:
            data = content if isinstance(content, bytes) else json.dumps(content)
            return session.post(simulator.url + "/", data=data, timeout=HANG_S)

        yield send


@pytest.fixture
def call(post: Callable[[Any], requests.Response]) -> Callable[..., Any]:
    """Make one call; give its result, or its error object."""

    def send(method: str, *params: Any) -> Any:
        answer = post({"jsonrpc": "2.0", "id": 5, "method": method, "params": list(params)}).json()
        assert answer["id"] == 5
        return answer["result"] if "result" in answer else answer["error"]

    return send
