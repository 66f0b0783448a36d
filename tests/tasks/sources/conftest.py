"""Fixtures of the source tests: a scripted service, a fake clock, and clients of the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.sources.market.dexscreener import DexScreener
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.rate_limit.limiter import close_limiters
from tasks.sources.solana.client import SolanaClient
from tasks.sources.solana.endpoint import Endpoint, close_connections
from tests.support.scripted_service import KEY, Connect, FakeClock, Node, ScriptedService


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the process's shared connections and limiters after every test."""
    yield
    close_connections()
    close_limiters()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    playing = ScriptedService()
    yield playing
    close_connections()  # open connections would keep the server's threads alive
    playing.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def node(service: ScriptedService) -> Node:
    service.default = healthy = Node()
    return healthy


@pytest.fixture
def connect(service: ScriptedService, clock: FakeClock) -> Connect:
    """Make a client of the scripted service, by default at a rate that never waits."""

    def make(rate: float = 1000, max_bytes: int = 1_000_000, **options: object) -> SolanaClient:
        endpoint = Endpoint(f"{service.url}/v1/?api-key={KEY}", rate, max_bytes=max_bytes)
        return SolanaClient(endpoint, clock=clock.clock, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def dexscreener(service: ScriptedService, clock: FakeClock) -> Iterator[DexScreener]:
    source = DexScreener(service.url, clock=clock.clock)
    yield source
    source.close()


@pytest.fixture
def jupiter(service: ScriptedService, clock: FakeClock) -> Iterator[Jupiter]:
    source = Jupiter(service.url, api_key=KEY, clock=clock.clock)
    yield source
    source.close()
