"""The tokens of a made-up world and their prices over time; knows no wallet and no market response."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from math import exp, sin, tau
from random import Random
from typing import Literal

from tasks.simulator.world.addresses import derive_address
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.words import CREATURES, EPITHETS, HOSTILE_NAMES

TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
WSOL, USDC, USDT = 0, 1, 2  # indices in the catalogue
QUOTES = 3  # the number of quote assets, first in the catalogue
WSOL_MINT = "So11111111111111111111111111111111111111112"
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
USDT_MINT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"

Listing = Literal["both", "second", "none"]

# Powers of ten of the price in SOL, by decimals: amounts must stay within 64 bits.
_PRICES = {5: (-8.0, -4.5), 6: (-8.0, -4.5), 8: (-6.0, -3.5), 9: (-6.0, -3.0)}


@dataclass(frozen=True, slots=True)
class Token:
    """One mint. Times are seconds from the world's start, prices SOL per whole token.

    `rugged_s` is when its liquidity was taken (None: never). `waves` are (depth, period in s, phase) of its price.
    """

    index: int
    mint: str
    name: str
    symbol: str
    decimals: int
    program: str
    launched_s: float
    base_sol: float
    waves: tuple[tuple[float, float, float], ...]
    rugged_s: float | None
    listing: Listing
    transfer_fee_bps: int
    supply: int

    def price_sol(self, at_s: float) -> float:
        """Return SOL per whole token at a relative time."""
        price = self.base_sol * exp(
            sum(depth * sin(tau * at_s / period + phase) for depth, period, phase in self.waves)
        )
        return price * 1e-3 if self.rugged_s is not None and at_s >= self.rugged_s else price


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All tokens of a world: wSOL, USDC and USDT first, then by falling popularity."""

    tokens: tuple[Token, ...]
    cumulative: tuple[float, ...]
    by_mint: dict[str, Token]

    def pick(self, rnd: Random) -> Token:
        """Return a token that is not a quote asset, the popular ones more often (Zipf)."""
        place = bisect_left(self.cumulative, rnd.random() * self.cumulative[-1])
        return self.tokens[QUOTES + min(place, len(self.cumulative) - 1)]

    def pick_traded(self, rnd: Random, at_s: float) -> Token:
        """Return a token that is launched and not rugged at `at_s`, if a few draws find one."""
        token = self.pick(rnd)
        for _ in range(6):
            if token.launched_s <= at_s and (token.rugged_s is None or at_s < token.rugged_s):
                break
            token = self.pick(rnd)
        return token


def sol_usd(at_s: float) -> float:
    """Return the USD price of one SOL at a relative time: a slow wave around 150."""
    return 150.0 * exp(0.07 * sin(tau * at_s / 1_900_000) + 0.015 * sin(tau * at_s / 160_000))


def build_catalogue(scenario: Scenario) -> Catalogue:
    """Return the catalogue of a scenario; the same tokens for the same seed and number."""
    rnd = Random(f"{scenario.seed}/tokens")
    tokens = [*_quotes(), *(_token(scenario, rnd, rank) for rank in range(scenario.tokens))]
    weights = accumulate((rank + 1) ** -scenario.zipf for rank in range(scenario.tokens))
    return Catalogue(tuple(tokens), tuple(weights), {token.mint: token for token in tokens})


def _quotes() -> list[Token]:
    rows = (
        (WSOL_MINT, "Wrapped SOL", "SOL", 9),
        (USDC_MINT, "USD Coin", "USDC", 6),
        (USDT_MINT, "USDT", "USDT", 6),
    )
    return [
        Token(place, mint, name, symbol, decimals, TOKEN_PROGRAM, -1e9, 1.0, (), None, "both", 0, 600_000_000)
        for place, (mint, name, symbol, decimals) in enumerate(rows)
    ]


def _token(scenario: Scenario, rnd: Random, rank: int) -> Token:
    decimals = rnd.choices((6, 9, 5, 8, 2, 0), (70, 18, 4, 3, 3, 2))[0]
    newer = rnd.random() < 0.13
    launched = rnd.uniform(-120, -1) * 86_400 if rnd.random() < 0.4 else rnd.random() ** 1.1 * 0.94 * scenario.span_s
    name, symbol = HOSTILE_NAMES.get(rank) or _name(rank)
    return Token(
        index=QUOTES + rank,
        mint=_mint(scenario.seed, rank, rnd.random() < 0.4 and not newer),
        name=name,
        symbol=symbol,
        decimals=decimals,
        program=TOKEN_2022_PROGRAM if newer else TOKEN_PROGRAM,
        launched_s=launched,
        base_sol=10 ** rnd.uniform(*_PRICES.get(decimals, (-4.0, -2.0))),
        waves=_waves(rnd),
        rugged_s=max(launched, 0.0) + rnd.expovariate(1 / 400_000) + 600 if rnd.random() < 0.12 else None,
        listing=_listing(rnd, rank),
        transfer_fee_bps=100 if newer and rnd.random() < 0.3 else 0,
        supply=1_000_000_000,
    )


def _mint(seed: int, rank: int, launched_on_pump: bool) -> str:
    mint = derive_address(seed, "mint", rank)
    return mint[:-4] + "pump" if launched_on_pump else mint


def _name(rank: int) -> tuple[str, str]:
    turn, place = divmod(rank, len(EPITHETS) * len(CREATURES))
    first = EPITHETS[place * 7 % len(EPITHETS)]
    second = CREATURES[(place // len(EPITHETS) + place * 3) % len(CREATURES)]
    number = f" {turn + 1}" if turn else ""
    return f"{first} {second}{number}", (first[0] + second).upper()[:8] + (str(turn + 1) if turn else "")


def _waves(rnd: Random) -> tuple[tuple[float, float, float], ...]:
    slow = (rnd.uniform(0.3, 1.3), rnd.uniform(8, 40) * 86_400, rnd.uniform(0, tau))
    quick = (rnd.uniform(0.1, 0.5), rnd.uniform(2, 30) * 3_600, rnd.uniform(0, tau))
    return slow, quick


def _listing(rnd: Random, rank: int) -> Listing:
    chance = rnd.random()
    if chance < 0.05 and rank > 5:
        return "none"
    return "second" if chance < 0.14 and rank > 5 else "both"
