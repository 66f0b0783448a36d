"""An RPC service: its address and rate, its known capabilities, and the connections that its clients share."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field

from tasks.sources.http import MEGABYTE, Http, host_of
from tasks.sources.rate_limit.clock import CLOCK, Clock
from tasks.sources.rate_limit.limiter import RateLimiter, limiter_for

LABEL = "the RPC service"
SOURCE = "solana"


@dataclass(frozen=True)
class Endpoint:
    """An RPC service from the settings. `url` may carry an API key and is therefore not in the `repr`.

    Each call of a batch counts against `requests_per_s`. `max_bytes` limits one answer, decompressed.
    """

    url: str = field(repr=False)
    requests_per_s: float
    max_transaction_version: int = 1
    redis_url: str | None = field(default=None, repr=False)
    max_bytes: int = 64 * MEGABYTE


@dataclass
class Capabilities:
    """What an RPC service can do, as learnt from its answers; None: unknown. Stored as `asdict`.

    `batch_size` 1: it refuses batches. `has_history`: it has getTransactionsForAddress. `transaction_version`: the
    newest version that it asked for.
    """

    batch_size: int | None = None
    has_history: bool | None = None
    transaction_version: int | None = None


@dataclass(frozen=True)
class Connection:
    """What all clients of an endpoint share within a process."""

    http: Http
    limiter: RateLimiter


_connections: dict[tuple[object, ...], Connection] = {}
_lock = threading.Lock()


def connection_for(endpoint: Endpoint, clock: Clock = CLOCK) -> Connection:
    """Return this process's connection to an endpoint, opened on first use."""
    key = (endpoint.url, endpoint.requests_per_s, endpoint.redis_url, endpoint.max_bytes, clock)
    with _lock:
        if key not in _connections:
            _connections[key] = _open(endpoint, clock)
        return _connections[key]


def close_connections() -> None:
    """Close and drop all connections to RPC services: at the end of a process, and after a fork."""
    with _lock:
        for connection in _connections.values():
            connection.http.close()
        _connections.clear()


def _open(endpoint: Endpoint, clock: Clock) -> Connection:
    # The name appears in Redis and in logs, so it holds the host and a digest instead of the address.
    digest = hashlib.sha256(endpoint.url.encode()).hexdigest()[:12]
    name = f"{host_of(endpoint.url)}-{digest}"
    return Connection(
        Http(SOURCE, label=LABEL, max_bytes=endpoint.max_bytes),
        limiter_for(name, endpoint.requests_per_s, redis_url=endpoint.redis_url, clock=clock, paced=True),
    )
