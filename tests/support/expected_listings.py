"""What a careful reader must find on the made-up market, from the truth about each token.

Careful means: pools in SOL or a dollar first, others only with liquidity and trade, and the second service for what the
first does not know or price.
"""

from __future__ import annotations

from typing import Any

from tasks.simulator.market.quotes import Quoter
from tasks.simulator.world.tokens import QUOTES, Token
from tasks.simulator.world.world import World

_LEAST_LIQUIDITY_USD = 1_000.0


def expected_listing(world: World, mint: str) -> dict[str, Any]:
    """Return what is known of a mint after its look-up: status, name, symbol, price_usd, source.

    `status` is "resolved" or "unlisted" (then the rest is None). `price_usd` is the true price, None where no source
    has one; the market writes four digits of it (allow 0.2 %: the price of a quote token is a quotient of two texts).
    `source` is the first in the order dexscreener, jupiter that has a believable price: where it is "jupiter" and the
    token's `listing` "both", a reader that queries Jupiter only for unknown mints finds no price.
    Names are as the market writes them: a reader cleans those of `HOSTILE_NAMES`. Faults are ignored.
    """
    token = world.catalogue.by_mint.get(mint)
    if token is None or token.listing == "none":
        return {"status": "unlisted", "name": None, "symbol": None, "price_usd": None, "source": None}
    quoter = Quoter(world.scenario, world.catalogue, "")
    source = _pricing_source(quoter, token)
    price = None if source is None else quoter.usd(token)
    return {"status": "resolved", "name": token.name, "symbol": token.symbol, "price_usd": price, "source": source}


def _pricing_source(quoter: Quoter, token: Token) -> str | None:
    if token.listing == "both" and _has_believable_pool(quoter, token):
        return "dexscreener"
    return "jupiter" if quoter.liquidity(token) else None


def _has_believable_pool(quoter: Quoter, token: Token) -> bool:
    quote = quoter.quote(token)
    if quote is None or quote.index < QUOTES:
        return True
    return not quoter.is_on_curve(token) and quoter.liquidity(token) >= _LEAST_LIQUIDITY_USD
