"""Asks Jupiter for prices of tokens. Keeps nothing.

Shapes and limits after https://dev.jup.ag (price v3, read 2026-11-24): one request in two seconds without a key, one a
second with a free one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.analysis.addresses import WSOL
from tasks.errors import SourceError
from tasks.sources.http import Http, host_of
from tasks.sources.limits import limiter_for
from tasks.sources.prices import read_price
from tasks.sources.waiting import CLOCK, Clock, Stop, Stopped

SOURCE = "jupiter"
LABEL = "Jupiter"
URL = "https://api.jup.ag"
MINTS_PER_PRICE_REQUEST = 50
REQUESTS_PER_S_KEYLESS = 0.5
REQUESTS_PER_S_WITH_KEY = 1.0
WINDOW_S = 60


class Jupiter:
    """Asks Jupiter at its rate. Threads may share it. All methods raise `SourceError`."""

    def __init__(
        self,
        url: str = URL,
        *,
        api_key: str | None = None,
        redis_url: str | None = None,
        stop: Stop | None = None,
        clock: Clock = CLOCK,
    ):
        self._url = url.rstrip("/")
        self._headers = {"x-api-key": api_key} if api_key else {}
        self._http = Http(SOURCE, label=LABEL)
        rate = REQUESTS_PER_S_WITH_KEY if api_key else REQUESTS_PER_S_KEYLESS
        self._limiter = limiter_for(f"{SOURCE}-{host_of(url)}", rate, WINDOW_S, redis_url, clock)
        self._stop = stop

    def prices(self, mints: Sequence[str]) -> Mapping[str, Any]:
        """Fetch mint → price entry (`usdPrice`, `decimals`, …) of up to 50 mints; those without a price are missing."""
        if len(mints) > MINTS_PER_PRICE_REQUEST:
            raise ValueError(f"Jupiter prices {MINTS_PER_PRICE_REQUEST} mints at once, not {len(mints)}")
        if not mints:
            return {}
        if not self._limiter.acquire(stop=self._stop):
            raise Stopped(SOURCE)
        answer = self._http.get(f"{self._url}/price/v3", params={"ids": ",".join(mints)}, headers=self._headers)
        if not isinstance(answer, dict):
            raise SourceError(SOURCE, f"{LABEL} answered with something that is no list of prices", permanent=False)
        return answer

    def sol_usd(self) -> float:
        """Fetch the price of one SOL in USD."""
        entry = self.prices([WSOL]).get(WSOL)
        price = read_price(entry.get("usdPrice")) if isinstance(entry, dict) else None
        if price is None:
            raise SourceError(SOURCE, f"{LABEL} has no usable price of SOL", permanent=False)
        return price

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._http.close()
