"""What a market says of one token, in one shape for all sources. Everything in it has been checked; how an answer is
read is each source's, and which images are shown is decided elsewhere.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tasks.sources.market.names import LONGEST_NAME, LONGEST_SYMBOL, clean_name
from tasks.sources.market.numbers import read_amount, read_decimals, read_price

LONGEST_ADDRESS = 500


@dataclass(frozen=True, slots=True)
class TokenListing:
    """One token on one market. None is not known, or not believed.

    Names are `clean_name`'s, prices above 0, other sums from 0 to 10^15, all in USD; `image_url` is http or https.
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
    """Check what a market said, values of any type; a bad one becomes None. None when no name, symbol or price is left:
    then the market knows nothing.
    """
    listing = TokenListing(
        mint=mint,
        name=clean_name(name, LONGEST_NAME),
        symbol=clean_name(symbol, LONGEST_SYMBOL),
        decimals=read_decimals(decimals),
        image_url=read_address(image),
        price_usd=read_price(price),
        liquidity_usd=read_amount(liquidity),
        volume_24h_usd=read_amount(volume),
        market_cap_usd=read_amount(market_cap),
        source=source,
    )
    known = listing.name or listing.symbol or listing.price_usd is not None
    return listing if known else None


def read_address(value: object) -> str | None:
    """Read the address of an image: http or https with a host, without credentials; else None."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ADDRESS:
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
    """Return an object of an answer as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """Return a string of an answer as it is, and anything else as None; what is no string may not even be compared."""
    return value if isinstance(value, str) else None
