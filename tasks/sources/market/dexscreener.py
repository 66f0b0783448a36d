"""Client of DexScreener. `pools.py` chooses which pool of a token to believe.

Shapes and limits: https://docs.dexscreener.com/api/reference and recorded answers (read 2026-11-24): no key, 300
requests a minute, 30 mints each.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tasks.errors import SourceError
from tasks.measures.well_known import USDC, USDT, WSOL
from tasks.sources.market.client import MarketClient, distinct_mints, shared_name
from tasks.sources.market.listing import TokenListing
from tasks.sources.market.numbers import read_price
from tasks.sources.market.pools import Pair, deepest_pair, listings_of
from tasks.sources.rate_limit.circuit import circuit_for
from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop, Stopped

SOURCE = "dexscreener"
LABEL = "DexScreener"
URL = "https://api.dexscreener.com"
MINTS_PER_REQUEST = 30
REQUESTS_PER_S = 5.0
WINDOW_S = 60
BURST = 4


class DexScreener:
    """Market source DexScreener. Thread-safe. All methods raise `SourceError`."""

    name = SOURCE
    label = LABEL
    mints_per_request = MINTS_PER_REQUEST

    def __init__(self, url: str = URL, *, redis_url: str | None = None, stop: Stop | None = None, clock: Clock = CLOCK):
        self._url = url.rstrip("/")
        self.circuit = circuit_for(shared_name(SOURCE, url), REQUESTS_PER_S, WINDOW_S, redis_url, clock, burst=BURST)
        self._client = MarketClient(SOURCE, LABEL, self.circuit)
        self._stop = stop

    def listings(self, mints: Sequence[str]) -> dict[str, TokenListing]:
        """Fetch up to 30 mints in one request (`ValueError` for more): mint → listing, without unknown mints.

        The caller holds a permission of `circuit`. No mints give an empty dict without a request.
        """
        once = distinct_mints(mints, MINTS_PER_REQUEST, LABEL)
        return listings_of(self._pairs(once), once, SOURCE) if once else {}

    def sol_usd(self) -> float:
        """Wait for a permission and fetch the price of one SOL in USD, from its deepest pool against USDC or USDT."""
        if not self.circuit.acquire(self._stop, urgent=True):
            raise Stopped(SOURCE)
        pair = deepest_pair(self._pairs([WSOL]), WSOL, {USDC, USDT})
        price = None if pair is None else read_price(pair.get("priceUsd"))
        if price is None:
            raise SourceError(SOURCE, f"{LABEL} has no usable price of SOL", permanent=False)
        return price

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._client.close()

    def _pairs(self, mints: Sequence[str]) -> list[Pair]:
        path = ",".join(quote(mint, safe="") for mint in mints)
        answer = self._client.get(f"{self._url}/tokens/v1/solana/{path}", list)
        return [pair for pair in answer if isinstance(pair, dict) and pair.get("chainId") == "solana"]
