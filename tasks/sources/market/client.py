"""One HTTP request to a market service, its outcome reported to the circuit breaker. `fetcher.py` takes the permission;
`dexscreener.py` and `jupiter.py` read the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tasks.errors import SourceError
from tasks.sources.http import Http, HttpError, host_of
from tasks.sources.rate_limit.circuit import CircuitBreaker

TIMEOUT_S = (5.0, 10.0)
DEADLINE_S = 20.0

T = TypeVar("T")


class MarketClient:
    """HTTP client of one market service; reports every answer to `circuit`. Thread-safe."""

    def __init__(self, source: str, label: str, circuit: CircuitBreaker):
        self._source, self._label, self._circuit = source, label, circuit
        self._http = Http(source, label=label, timeout=TIMEOUT_S, deadline_s=DEADLINE_S)

    def get(
        self,
        url: str,
        kind: type[T],
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """GET `url` once and return the parsed JSON.

        Raises `SourceError` on any fault, also when the JSON is not a `kind` (list or dict).
        """
        try:
            answer = self._checked(self._http.get(url, params=params, headers=headers), kind)
        except SourceError as error:
            self._report(error)
            raise
        self._circuit.succeeded()
        return answer

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._http.close()

    def _checked(self, answer: Any, kind: type[T]) -> T:
        if isinstance(answer, kind):
            return answer
        wanted = "list" if kind is list else "object"
        raise SourceError(self._source, f"{self._label} answered with something that is no {wanted}", permanent=False)

    def _report(self, error: SourceError) -> None:
        if error.permanent:
            self._circuit.succeeded()
        else:
            throttled = isinstance(error, HttpError) and error.status == 429
            self._circuit.failed(error.retry_after_s, throttled=throttled)


def distinct_mints(mints: Sequence[str], most: int, label: str) -> list[str]:
    """Return the mints without duplicates; `ValueError` if more than `most` remain."""
    once = list(dict.fromkeys(mints))
    if len(once) > most:
        raise ValueError(f"{label} takes {most} mints at once, not {len(once)}")
    return once


def shared_name(source: str, url: str, api_key: str | None = None) -> str:
    """Return the name under which processes share a service's rate: a service counts by address and API key.

    It appears in Redis and in logs, so it holds host, port and a digest of the key.
    """
    port = _port_of(url)
    digest = hashlib.sha256(api_key.encode()).hexdigest()[:12] if api_key else ""
    return "-".join(part for part in (source, host_of(url), port, digest) if part)


def _port_of(url: str) -> str:
    try:
        return str(urlsplit(url).port or "")
    except ValueError:
        return ""
