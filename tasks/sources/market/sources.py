"""The market sources in the order of the settings, and the price of SOL from whichever answers first. How each is asked
is `dexscreener.py`'s and `jupiter.py`'s; where prices are kept is not known here.
"""

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
    """A service that knows names and prices of tokens.

    `name` is its name in the settings, `label` the one for people. Before each call of `listings` with at least one
    mint a permission is to be taken at `gate`.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def mints_per_request(self) -> int: ...
    @property
    def gate(self) -> CircuitBreaker: ...

    def listings(self, mints: Sequence[str]) -> dict[str, TokenListing]:
        """Ask about up to `mints_per_request` mints in one request; mints that are not known are missing.

        Raises `ValueError` for too many, `SourceError` when there is no answer that can be used.
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

    Names that are no source are passed over, with a warning.
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
    """Ask the sources named in `order` ("dexscreener", "jupiter") for the price of one SOL, in USD.

    The first price wins. A source that fails is logged and the next one asked; None when none has a price or `order`
    is empty. Names that are no source are passed over, with a warning.
    """
    for source in market_sources(order, dexscreener_url, jupiter_url, jupiter_api_key, redis_url):
        try:
            return source.sol_usd()
        except SourceError as error:
            log.warning("no price of SOL: %s", error)
        finally:
            source.close()
    return None
