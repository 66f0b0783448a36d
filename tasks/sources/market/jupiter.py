"""Client of Jupiter.

Shapes and limits: https://dev.jup.ag (price v3 and tokens v2, read 2026-11-24): one request in two seconds without a
key, one a second with a free key, all kinds of requests together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.errors import SourceError
from tasks.measures.well_known import WSOL
from tasks.sources.market.client import MarketClient, distinct_mints, shared_name
from tasks.sources.market.listing import TokenListing, members, read_listing, text
from tasks.sources.market.numbers import read_amount, read_price
from tasks.sources.rate_limit.circuit import circuit_for
from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop, Stopped

SOURCE = "jupiter"
LABEL = "Jupiter"
URL = "https://api.jup.ag"
MINTS_PER_REQUEST = 100
REQUESTS_PER_S_KEYLESS = 0.5
REQUESTS_PER_S_WITH_KEY = 1.0
WINDOW_S = 60


class Jupiter:
    """Market source Jupiter. Thread-safe. All methods raise `SourceError`."""

    name = SOURCE
    label = LABEL
    mints_per_request = MINTS_PER_REQUEST

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
        rate = REQUESTS_PER_S_WITH_KEY if api_key else REQUESTS_PER_S_KEYLESS
        self.circuit = circuit_for(shared_name(SOURCE, url, api_key), rate, WINDOW_S, redis_url, clock)
        self._client = MarketClient(SOURCE, LABEL, self.circuit)
        self._stop = stop

    def listings(self, mints: Sequence[str]) -> dict[str, TokenListing]:
        """Fetch up to 100 mints in one request (`ValueError` for more): mint → listing, without unknown mints.

        The caller holds a permission of `circuit`. No mints give an empty dict without a request.
        """
        once = distinct_mints(mints, MINTS_PER_REQUEST, LABEL)
        if not once:
            return {}
        query = {"query": ",".join(once)}
        entries = self._client.get(f"{self._url}/tokens/v2/search", list, params=query, headers=self._headers)
        return listings_of(entries, set(once))

    def sol_usd(self) -> float:
        """Wait for a permission and fetch the price of one SOL in USD."""
        if not self.circuit.acquire(self._stop, urgent=True):
            raise Stopped(SOURCE)
        entries = self._client.get(f"{self._url}/price/v3", dict, params={"ids": WSOL}, headers=self._headers)
        price = read_price(members(entries.get(WSOL)).get("usdPrice"))
        if price is None:
            raise SourceError(SOURCE, f"{LABEL} has no usable price of SOL", permanent=False)
        return price

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._client.close()


def listings_of(entries: list[Any], mints: set[str]) -> dict[str, TokenListing]:
    """Return the first usable entry of each of `mints`."""
    listings: dict[str, TokenListing] = {}
    for entry in map(members, entries):
        mint = text(entry.get("id"))
        if mint in mints and mint not in listings and (listing := _listing(mint, entry)):
            listings[mint] = listing
    return listings


def _listing(mint: str, entry: dict[str, Any]) -> TokenListing | None:
    return read_listing(
        mint,
        SOURCE,
        name=entry.get("name"),
        symbol=entry.get("symbol"),
        decimals=entry.get("decimals"),
        image=entry.get("icon"),
        price=entry.get("usdPrice"),
        liquidity=entry.get("liquidity"),
        volume=_volume(members(entry.get("stats24h"))),
        market_cap=entry.get("mcap"),
    )


def _volume(stats: dict[str, Any]) -> float | None:
    """Return bought plus sold, in USD; None if neither is known."""
    sides = [read_amount(stats.get(side)) for side in ("buyVolume", "sellVolume")]
    known = [side for side in sides if side is not None]
    return sum(known) if known else None
