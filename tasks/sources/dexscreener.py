"""Asks DexScreener for pairs of tokens and chooses the one that may be believed. Keeps nothing.

Shapes and limits after https://docs.dexscreener.com/api/reference and recorded answers (read 2026-11-24): no key, 300
requests a minute, 30 mints each.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tasks.analysis.addresses import USDC, USDT, WSOL
from tasks.errors import SourceError
from tasks.sources.http import Http, host_of
from tasks.sources.limits import limiter_for
from tasks.sources.prices import read_price
from tasks.sources.waiting import CLOCK, Clock, Stop, Stopped

SOURCE = "dexscreener"
LABEL = "DexScreener"
URL = "https://api.dexscreener.com"
MINTS_PER_REQUEST = 30
REQUESTS_PER_S = 5.0
WINDOW_S = 60

Pair = Mapping[str, Any]


class DexScreener:
    """Asks DexScreener at its rate. Threads may share it. All methods raise `SourceError`."""

    def __init__(self, url: str = URL, *, redis_url: str | None = None, stop: Stop | None = None, clock: Clock = CLOCK):
        self._url = url.rstrip("/")
        self._http = Http(SOURCE, label=LABEL)
        self._limiter = limiter_for(f"{SOURCE}-{host_of(url)}", REQUESTS_PER_S, WINDOW_S, redis_url, clock)
        self._stop = stop

    def pairs(self, mints: Sequence[str]) -> list[Pair]:
        """Fetch the pairs on Solana of up to 30 mints, unordered and unjudged; no mint gives none without asking."""
        if len(mints) > MINTS_PER_REQUEST:
            raise ValueError(f"DexScreener takes {MINTS_PER_REQUEST} mints at once, not {len(mints)}")
        if not mints:
            return []
        if not self._limiter.acquire(stop=self._stop):
            raise Stopped(SOURCE)
        answer = self._http.get(f"{self._url}/tokens/v1/solana/{','.join(mints)}")
        if not isinstance(answer, list):
            raise SourceError(SOURCE, f"{LABEL} answered with something that is no list of pairs", permanent=False)
        return [pair for pair in answer if isinstance(pair, dict) and pair.get("chainId") == "solana"]

    def sol_usd(self) -> float:
        """Fetch the price of one SOL in USD from its deepest pool against USDC or USDT."""
        pair = deepest_pair(self.pairs([WSOL]), WSOL, {USDC, USDT})
        price = None if pair is None else read_price(pair.get("priceUsd"))
        if price is None:
            raise SourceError(SOURCE, f"{LABEL} has no usable price of SOL", permanent=False)
        return price

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._http.close()


def deepest_pair(pairs: Sequence[Pair], mint: str, quotes: Collection[str]) -> Pair | None:
    """Choose, among the priced pairs that sell `mint` for one of `quotes`, the one with the most liquidity.

    A missing liquidity counts as 0. Quotes are bounded because pools against worthless tokens can show any liquidity.
    None when no pair is left.
    """
    usable = [
        pair
        for pair in pairs
        if _address(pair, "baseToken") == mint
        and _address(pair, "quoteToken") in quotes
        and read_price(pair.get("priceUsd")) is not None
    ]
    return max(usable, key=_liquidity, default=None)


def _address(pair: Pair, side: str) -> object:
    token = pair.get(side)
    return token.get("address") if isinstance(token, dict) else None


def _liquidity(pair: Pair) -> float:
    held = pair.get("liquidity")
    usd = held.get("usd") if isinstance(held, dict) else None
    number = float(usd) if isinstance(usd, int | float) and not isinstance(usd, bool) else 0.0
    return number if math.isfinite(number) else 0.0
