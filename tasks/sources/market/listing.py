"""One token on one market, in one checked shape for all sources."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tasks.sources.market.names import LONGEST_NAME, LONGEST_SYMBOL, clean_name
from tasks.sources.market.numbers import read_amount, read_decimals, read_price

LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class TokenListing:
    """One token on one market. None: unknown or not credible.

    Names come from `clean_name`; prices are above 0, other amounts from 0 to 10^15, all in USD; `image_url` is http(s).
    """

    mint: str
    name: str | None
    symbol: str | None
    decimals: int | None
    image_url: str | None
    price_usd: float | None
    liquidity_usd: float | None
    volume_24h_usd: float | None
    market_cap_usd: float | None
    source: str


def read_listing(
    mint: str,
    source: str,
    *,
    name: object = None,
    symbol: object = None,
    decimals: object = None,
    image: object = None,
    price: object = None,
    liquidity: object = None,
    volume: object = None,
    market_cap: object = None,
) -> TokenListing | None:
    """Check a market's values, of any type; a bad one becomes None.

    Return None if no name, symbol or price is left: the market does not know the token.
    """
    listing = TokenListing(
        mint=mint,
        name=clean_name(name, LONGEST_NAME),
        symbol=clean_name(symbol, LONGEST_SYMBOL),
        decimals=read_decimals(decimals),
        image_url=read_image_url(image),
        price_usd=read_price(price),
        liquidity_usd=read_amount(liquidity),
        volume_24h_usd=read_amount(volume),
        market_cap_usd=read_amount(market_cap),
        source=source,
    )
    known = listing.name or listing.symbol or listing.price_usd is not None
    return listing if known else None


def read_image_url(value: object) -> str | None:
    """Return an image's address if it is http(s) with a host and without credentials, otherwise None."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_URL:
        return None
    if any(character.isspace() or unicodedata.category(character)[0] == "C" for character in value):
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return value if usable and "@" not in parts.netloc and "\\" not in value else None


def members(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, anything else as an empty dict."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """Return a string as it is, anything else as None: other types may not even be hashable."""
    return value if isinstance(value, str) else None
