"""What the tests of the sources share: the scripted service, the clock, a Redis of their own."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest
import redis

from tasks.sources.rate_limit.limiter import close_limiters
from tasks.sources.solana.client import SolanaClient
from tasks.sources.solana.endpoint import Endpoint, close_connections
from tests.tasks.sources.scripted_service import KEY, Connect, FakeClock, Node, ScriptedService


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Forget the process's shared connections and limiters after every test."""
    yield
    close_connections()
    close_limiters()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    playing = ScriptedService()
    yield playing
    close_connections()  # connections that stay open would keep the server's threads
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
    """Make a client of the scripted service, by default at a rate that never has to wait."""

    def make(rate: float = 1000, max_bytes: int = 1_000_000, **options: object) -> SolanaClient:
        endpoint = Endpoint(f"{service.url}/v1/?api-key={KEY}", rate, max_bytes=max_bytes)
        return SolanaClient(endpoint, clock=clock.clock, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of the tests' own on a Unix socket. Skips where there is none, but fails in CI."""
    program = shutil.which("redis-server")
    if program is None:
        missing = "no redis-server on the PATH"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="wk") as folder:
        socket = pathlib.Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", folder]
        with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
            url = f"unix://{socket}"
            _await_redis(url)
            yield url
            server.terminate()


def _await_redis(url: str) -> None:
    client = redis.Redis.from_url(url)
    for _ in range(200):
        try:
            client.ping()
        except redis.RedisError:
            time.sleep(0.02)
        else:
            client.close()
            return
    pytest.fail("redis-server did not start")
