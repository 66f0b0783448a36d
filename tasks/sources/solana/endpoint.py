"""Which RPC service is asked, what has been learnt about it, and the connections and rate that all clients of it share.
Sends nothing.
"""

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
    """An RPC service as the settings name it. `url` may carry an API key and is therefore left out of its `repr`.

    Members of a batch count singly against `requests_per_s`. `max_bytes` bounds one answer, unpacked.
    """

    url: str = field(repr=False)
    requests_per_s: float
    max_transaction_version: int = 1
    redis_url: str | None = field(default=None, repr=False)
    max_bytes: int = 64 * MEGABYTE


@dataclass
class Capabilities:
    """What an RPC service was found to be able to do; None is not known. `Traits(**asdict(traits))` gives it back.

    `batch_size` 1 means that batches are refused; `has_history` that it knows getTransactionsForAddress;
    `transaction_version` is the newest version that it asked for.
    """

    batch_size: int | None = None
    has_history: bool | None = None
    transaction_version: int | None = None


@dataclass(frozen=True)
class Connection:
    """What all clients of one endpoint in a process share."""

    http: Http
    limiter: RateLimiter


_connections: dict[tuple[object, ...], Connection] = {}
_lock = threading.Lock()


def connection_for(endpoint: Endpoint, clock: Clock = CLOCK) -> Connection:
    """Return the process's one line to this address at this rate, opening it when it is the first that asks."""
    key = (endpoint.url, endpoint.requests_per_s, endpoint.redis_url, endpoint.max_bytes, clock)
    with _lock:
        if key not in _connections:
            _connections[key] = _open(endpoint, clock)
        return _connections[key]


def close_connections() -> None:
    """Close all connections to RPC services and forget them: at the end of a process, and after a fork."""
    with _lock:
        for line in _connections.values():
            line.http.close()
        _connections.clear()


def _open(endpoint: Endpoint, clock: Clock) -> Connection:
    # The name is seen in Redis and in logs, so it holds the host and a digest instead of the address.
    digest = hashlib.sha256(endpoint.url.encode()).hexdigest()[:12]
    name = f"{host_of(endpoint.url)}-{digest}"
    return Connection(
        Http(SOURCE, label=LABEL, max_bytes=endpoint.max_bytes),
        limiter_for(name, endpoint.requests_per_s, redis_url=endpoint.redis_url, clock=clock, paced=True),
    )
