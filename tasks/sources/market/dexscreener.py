"""Asks DexScreener about tokens. Keeps nothing; which pair of a token is believed is decided in `pairs.py`.

Shapes and limits after https://docs.dexscreener.com/api/reference and recorded answers (read 2026-11-24): no key, 300
requests a minute, 30 mints each.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tasks.errors import SourceError
from tasks.measures.well_known import USDC, USDT, WSOL
from tasks.sources.market.client import MarketClient, asked_once, gate_name
from tasks.sources.market.listing import TokenListing
from tasks.sources.market.numbers import read_price
from tasks.sources.market.pools import Pair, deepest_pair, listings_of
from tasks.sources.rate_limit.circuit import gate_for
from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop, Stopped

SOURCE = "dexscreener"
LABEL = "DexScreener"
URL = "https://api.dexscreener.com"
MINTS_PER_REQUEST = 30
REQUESTS_PER_S = 5.0
WINDOW_S = 60
BURST = 4


class DexScreener:
    """Asks DexScreener. Threads may share it. All methods raise `SourceError`."""

    name = SOURCE
    label = LABEL
    mints_per_request = MINTS_PER_REQUEST

    def __init__(self, url: str = URL, *, redis_url: str | None = None, stop: Stop | None = None, clock: Clock = CLOCK):
        self._url = url.rstrip("/")
        self.gate = gate_for(gate_name(SOURCE, url), REQUESTS_PER_S, WINDOW_S, redis_url, clock, burst=BURST)
        self._asking = MarketClient(SOURCE, LABEL, self.gate)
        self._stop = stop

    def listings(self, mints: Sequence[str]) -> dict[str, TokenListing]:
        """Ask once about up to 30 mints, else `ValueError`; return mint → listing, without those that are not known.

        The caller has taken a permission at `gate`, which learns what came of it. No mint gives none without asking.
        """
        once = asked_once(mints, MINTS_PER_REQUEST, LABEL)
        return listings_of(self._pairs(once), once, SOURCE) if once else {}

    def sol_usd(self) -> float:
        """Fetch the price of one SOL in USD from its deepest pool against USDC or USDT, once the gate permits it."""
        if not self.gate.wait(self._stop, urgent=True):
            raise Stopped(SOURCE)
        pair = deepest_pair(self._pairs([WSOL]), WSOL, {USDC, USDT})
        price = None if pair is None else read_price(pair.get("priceUsd"))
        if price is None:
            raise SourceError(SOURCE, f"{LABEL} has no usable price of SOL", permanent=False)
        return price

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._asking.close()

    def _pairs(self, mints: Sequence[str]) -> list[Pair]:
        path = ",".join(quote(mint, safe="") for mint in mints)
        answer = self._asking.get(f"{self._url}/tokens/v1/solana/{path}", list)
        return [pair for pair in answer if isinstance(pair, dict) and pair.get("chainId") == "solana"]
