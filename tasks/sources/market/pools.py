"""Chooses which of a token's pools on DexScreener to believe.

Anyone can open a pool that shows any price and any liquidity in a worthless token, so high liquidity alone proves
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tasks.measures.well_known import USDC, USDT, WSOL
from tasks.sources.market.listing import TokenListing, members, read_image_url, read_listing, text
from tasks.sources.market.names import LONGEST_NAME, clean_name
from tasks.sources.market.numbers import read_amount, read_number, read_price

QUOTES = frozenset({WSOL, USDC, USDT})
LEAST_LIQUIDITY_USD = 1_000.0  # of a pool that is quoted in another token

Pair = Mapping[str, Any]


def listings_of(pairs: Iterable[Pair], mints: Sequence[str], source: str) -> dict[str, TokenListing]:
    """Return mint → listing for those of `mints` that the pairs describe. Any part of a pair may be damaged."""
    sold: dict[str, list[Pair]] = {mint: [] for mint in mints}
    quoted: dict[str, list[Pair]] = {mint: [] for mint in mints}
    for pair in pairs:
        for side, found in (("baseToken", sold), ("quoteToken", quoted)):
            if (address := _address(pair, side)) in found:
                found[address].append(pair)
    read = (_as_base(mint, sold[mint], source) or _as_quote(mint, quoted[mint], source) for mint in sold)
    return {listing.mint: listing for listing in read if listing is not None}


def deepest_pair(pairs: Iterable[Pair], mint: str, quotes: Collection[str]) -> Pair | None:
    """Return the priced pair of `mint` against one of `quotes` with the most liquidity; None if there is none.

    Missing liquidity counts as 0.
    """
    usable = [
        pair
        for pair in pairs
        if _address(pair, "baseToken") == mint
        and _address(pair, "quoteToken") in quotes
        and read_price(pair.get("priceUsd")) is not None
    ]
    return max(usable, key=_depth, default=None)


def _as_base(mint: str, pairs: Sequence[Pair], source: str) -> TokenListing | None:
    if not pairs:
        return None
    chosen = deepest_pair(pairs, mint, QUOTES) or _deepest_traded(pairs)
    described = [chosen, *pairs] if chosen is not None else pairs
    priced = chosen or {}
    return read_listing(
        mint,
        source,
        name=_first_name(described, "baseToken", "name"),
        symbol=_first_name(described, "baseToken", "symbol"),
        image=next((url for pair in described if (url := _image(pair)) is not None), None),
        price=priced.get("priceUsd"),
        liquidity=_liquidity(priced),
        volume=_volume(priced),
        market_cap=priced.get("marketCap"),
    )


def _as_quote(mint: str, pairs: Sequence[Pair], source: str) -> TokenListing | None:
    """Read a token that is only a quote: image and amounts of such a pair belong to the other token."""
    described = sorted(pairs, key=_depth, reverse=True)
    return read_listing(
        mint,
        source,
        name=_first_name(described, "quoteToken", "name"),
        symbol=_first_name(described, "quoteToken", "symbol"),
        price=next((price for pair in described if (price := _quote_price(pair)) is not None), None),
    )


def _deepest_traded(pairs: Iterable[Pair]) -> Pair | None:
    usable = [
        pair
        for pair in pairs
        if read_price(pair.get("priceUsd")) is not None
        and _depth(pair) >= LEAST_LIQUIDITY_USD
        and (read_amount(_volume(pair)) or 0.0) > 0
    ]
    return max(usable, key=_depth, default=None)


def _quote_price(pair: Pair) -> float | None:
    usd, native = read_price(pair.get("priceUsd")), read_number(pair.get("priceNative"))
    if usd is None or native is None or native <= 0:
        return None
    return read_price(usd / native)


def _first_name(pairs: Iterable[Pair], side: str, key: str) -> str | None:
    names: Iterable[str | None] = (clean_name(members(pair.get(side)).get(key), LONGEST_NAME) for pair in pairs)
    return next((name for name in names if name), None)


def _image(pair: Pair) -> str | None:
    return read_image_url(members(pair.get("info")).get("imageUrl"))


def _address(pair: Pair, side: str) -> str | None:
    return text(members(pair.get(side)).get("address"))


def _liquidity(pair: Pair) -> object:
    return members(pair.get("liquidity")).get("usd")


def _volume(pair: Pair) -> object:
    return members(pair.get("volume")).get("h24")


def _depth(pair: Pair) -> float:
    return read_amount(_liquidity(pair)) or 0.0
