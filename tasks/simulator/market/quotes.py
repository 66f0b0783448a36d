"""The made-up market's data of each token, in the shapes of DexScreener and Jupiter; reads no request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tasks.simulator.world.addresses import derive_address
from tasks.simulator.world.scenario import NEWEST_SLOT, Scenario
from tasks.simulator.world.tokens import QUOTES, USDC, WSOL, Catalogue, Token, sol_usd

_EXCHANGES = ("pumpswap", "raydium", "orca", "meteora")
_CURVES = ("pumpfun", "meteoradbc")


@dataclass(frozen=True, slots=True)
class Quoter:
    """The market at the end of a world's history. `logos` is the base address of token images."""

    scenario: Scenario
    catalogue: Catalogue
    logos: str

    def usd(self, token: Token) -> float:
        """Return the USD price of one whole token."""
        now_s = self.scenario.span_s
        if token.index < QUOTES:
            return sol_usd(now_s) if token.index == WSOL else 0.9998
        return token.price_sol(now_s) * sol_usd(now_s)

    def liquidity(self, token: Token) -> float:
        """Return the USD in the token's pools: less for the less popular, 0 after a rug."""
        if token.index < QUOTES:
            return 25_000_000.0
        rugged = token.rugged_s is not None and token.rugged_s <= self.scenario.span_s
        return 0.0 if rugged else round(900_000 / token.index**0.8 * (1 + token.index % 5), 2)

    # -- DexScreener -------------------------------------------------------------------------------

    def pairs(self, token: Token, *, other_chains: bool) -> list[dict[str, Any]]:
        """Return DexScreener's pairs of a token; none for one that it does not list."""
        sol, usdc = self.catalogue.tokens[WSOL], self.catalogue.tokens[USDC]
        if token.listing != "both":
            return []
        quote = self.quote(token)
        if quote is None:
            return [self._pair(self._neighbour(token), token, 0.4)]
        if token.index < QUOTES:
            return [self._pair(token, quote, 1.0)]
        pairs = [self._pair(token, quote, 1.0)]
        if token.index < 60 and quote is sol:
            pairs.append(self._pair(token, usdc, 0.3))
        if token.index % 9 == 0:
            pairs.insert(0, self._fake(token))
        if token.index % 13 == 0 and other_chains:
            pairs.insert(0, self._pair(token, usdc, 2.0) | {"chainId": "base", "priceUsd": "77.7"})
        return pairs

    def quote(self, token: Token) -> Token | None:
        """Return what the token's best honest pool is quoted in; None when it is only a quote of another token."""
        sol, usdc = self.catalogue.tokens[WSOL], self.catalogue.tokens[USDC]
        if token.index < QUOTES:
            return usdc if token.index == WSOL else sol
        if _is_only_quote(token):
            return None
        if token.index % 31 == 7:
            return self._neighbour(token)
        return usdc if token.index % 7 == 0 else sol

    def is_on_curve(self, token: Token) -> bool:
        """Say whether the token is still on its bonding curve, whose pools show no liquidity."""
        return token.index % 11 == 0

    def _neighbour(self, token: Token) -> Token:
        """Return the next token with pools of its own, so that a request for both changes no result."""
        count = self.scenario.tokens
        following = (self.catalogue.tokens[QUOTES + (token.index - QUOTES + step) % count] for step in range(1, count))
        return next((other for other in following if other.listing == "both" and not _is_only_quote(other)), token)

    def _fake(self, token: Token) -> dict[str, Any]:
        """Return a pool in a junk token that claims the highest liquidity and a price far off."""
        pair = self._pair(token, self._neighbour(token), 1.0)
        pair["priceUsd"] = _decimal(self.usd(token) * 41)
        pair["volume"] = {"h24": 0, "h6": 0, "h1": 0, "m5": 0}
        pair["liquidity"] = {"usd": 88_000_000.5, "base": 1, "quote": 9e14}
        return pair

    def _pair(self, token: Token, quote: Token, part: float) -> dict[str, Any]:
        address = derive_address("pair", token.mint, quote.mint)
        price, liquidity = self.usd(token), self.liquidity(token) * part
        curve = self.is_on_curve(token)
        pair: dict[str, Any] = {
            "chainId": "solana",
            "dexId": _CURVES[token.index % 2] if curve else _EXCHANGES[token.index % 4],
            "url": f"https://dexscreener.com/solana/{address.lower()}",
            "pairAddress": address,
            "baseToken": _naming(token),
            "quoteToken": _naming(quote),
            "priceNative": _decimal(price / self.usd(quote)),
            "priceUsd": _decimal(price),
            "txns": _spread(token.index, lambda count: {"buys": count, "sells": count * 2 // 3}),
            "volume": _spread(round(liquidity * 1.7) + 40 * (not liquidity) * 1_000_000, float),
            "priceChange": {"h1": -0.43, "h6": 2.5, "h24": round(token.waves[0][0] * 31, 2) if token.waves else 0.1},
            "liquidity": {"usd": liquidity, "base": round(liquidity / price / 2), "quote": round(liquidity / 2, 2)},
            "pairCreatedAt": int(self.scenario.start_at + max(token.launched_s, -3e7)) * 1_000,
        }
        return self._with_gaps(pair, token, curve=curve)

    def _with_gaps(self, pair: dict[str, Any], token: Token, *, curve: bool) -> dict[str, Any]:
        """Add what most pairs have, and leave out what real responses leave out."""
        if curve:
            del pair["liquidity"]
            pair["priceChange"] = {}
        if token.index % 4 == 1:
            pair["labels"] = ["CLMM"]
        if token.index % 17:
            pair["fdv"] = pair["marketCap"] = round(self.usd(token) * token.supply)
        if token.index % 6:
            pair["info"] = {
                "imageUrl": self.image(token),
                "websites": [{"url": "https://example.com/", "label": "Website"}],
                "socials": [{"url": "https://x.com/example", "type": "twitter"}],
            }
        return pair

    def image(self, token: Token) -> str:
        """Return the address of the token's image; one token's is hostile."""
        return "javascript:alert(1)" if token.index == QUOTES + 17 else f"{self.logos}{token.mint}.svg"

    # -- Jupiter -----------------------------------------------------------------------------------

    def listing(self, token: Token) -> dict[str, Any] | None:
        """Return the entry of Jupiter's token search; None for an unknown token."""
        if token.listing == "none":
            return None
        supply, liquidity = token.supply, self.liquidity(token)
        entry: dict[str, Any] = {
            "id": token.mint,
            "name": token.name,
            "symbol": token.symbol,
            "icon": self.image(token),
            "decimals": token.decimals,
            "tokenProgram": token.program,
            "circSupply": supply,
            "totalSupply": supply,
            "holderCount": 4_000_000 // token.index if token.index else 2_342_610,
            "audit": {"mintAuthorityDisabled": True, "freezeAuthorityDisabled": True},
            "organicScore": round(99.0 / (1 + token.index / 40), 4),
            "organicScoreLabel": "high" if token.index < 40 else "low",
            "isVerified": token.index < 40,
            "tags": ["community", "verified"] if token.index < 40 else [],
            "firstPool": {"id": derive_address("pair", token.mint), "createdAt": self._launch_text(token)},
            "updatedAt": _text_time(self.scenario.end_at),
        }
        if liquidity:
            price = self.usd(token)
            entry |= {"usdPrice": price, "priceBlockId": NEWEST_SLOT, "liquidity": liquidity}
            entry |= {"fdv": price * supply, "mcap": price * supply}
        if token.index % 10 == 8:
            del entry["icon"]
        return entry

    def price(self, token: Token) -> dict[str, Any] | None:
        """Return the entry of Jupiter's prices; None for a token without a price."""
        if token.listing == "none" or not self.liquidity(token):
            return None
        return {
            "createdAt": self._launch_text(token),
            "liquidity": self.liquidity(token),
            "usdPrice": self.usd(token),
            "blockId": NEWEST_SLOT,
            "decimals": token.decimals,
            "priceChange24h": 1.29,
        }

    def _launch_text(self, token: Token) -> str:
        return _text_time(self.scenario.start_at + max(token.launched_s, -3e7))


def _is_only_quote(token: Token) -> bool:
    return token.index >= QUOTES and token.index % 29 == 5


def _naming(token: Token) -> dict[str, str]:
    return {"address": token.mint, "name": token.name, "symbol": token.symbol}


def _spread(count: int, shaped: Callable[[int], object]) -> dict[str, Any]:
    return {period: shaped(count // part) for period, part in (("m5", 200), ("h1", 20), ("h6", 4), ("h24", 1))}


def _decimal(price: float) -> str:
    """Write a price as the market does: text with about four significant digits, never an exponent."""
    return f"{Decimal(f'{price:.4g}'):f}"


def _text_time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
