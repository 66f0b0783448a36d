"""The market sources in the order of the settings, and the price of SOL from the first that has one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from tasks.errors import SourceError
from tasks.sources.market import dexscreener, jupiter
from tasks.sources.market.dexscreener import DexScreener
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.market.listing import TokenListing
from tasks.sources.rate_limit.circuit import CircuitBreaker

log = logging.getLogger(__name__)


class MarketSource(Protocol):
    """A service with names and prices of tokens.

    `name` is for settings, `label` for people. Before each call of `listings` with at least one mint the caller takes a
    permission of `circuit`.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def mints_per_request(self) -> int: ...
    @property
    def circuit(self) -> CircuitBreaker: ...

    def listings(self, mints: Sequence[str]) -> dict[str, TokenListing]:
        """Fetch up to `mints_per_request` mints in one request: mint → listing, without unknown mints.

        Raises `ValueError` for too many mints, `SourceError` without a usable answer.
        """
        ...

    def sol_usd(self) -> float: ...
    def close(self) -> None: ...


def market_sources(
    order: Sequence[str],
    dexscreener_url: str = dexscreener.URL,
    jupiter_url: str = jupiter.URL,
    jupiter_api_key: str | None = None,
    redis_url: str | None = None,
) -> list[MarketSource]:
    """Return the sources named in `order` ("dexscreener", "jupiter"), in that order; the caller closes them.

    Unknown names are skipped with a warning.
    """
    makers: dict[str, Callable[[], MarketSource]] = {
        dexscreener.SOURCE: lambda: DexScreener(dexscreener_url, redis_url=redis_url),
        jupiter.SOURCE: lambda: Jupiter(jupiter_url, api_key=jupiter_api_key, redis_url=redis_url),
    }
    for name in order:
        if name not in makers:
            log.warning("there is no market source %r", name)
    return [makers[name]() for name in order if name in makers]


def sol_price_usd(
    order: Sequence[str],
    dexscreener_url: str = dexscreener.URL,
    jupiter_url: str = jupiter.URL,
    jupiter_api_key: str | None = None,
    redis_url: str | None = None,
) -> float | None:
    """Return the price of one SOL in USD from the first source in `order` ("dexscreener", "jupiter") that has one.

    A failing source is logged and the next one tried. None if no source has a price or `order` is empty. Unknown names
    are skipped with a warning.
    """
    for source in market_sources(order, dexscreener_url, jupiter_url, jupiter_api_key, redis_url):
        try:
            return source.sol_usd()
        except SourceError as error:
            log.warning("no price of SOL: %s", error)
        finally:
            source.close()
    return None
