"""The capital of one wallet: SOL values, daily SOL prices, and the table of weights per mint.

Section 2 of docs/measures.md and the "USD quotes" of section 1. Price and window are arguments; `audit` explains each
weight.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.measures.trades import Movement, Quote

DAY_S = 86_400
LAMPORTS = 10**9
USD_UNITS = 10**6
"""Base units of one USDC, of one USDT, and of the dollars of an observation."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The USD price of one SOL by UTC day (days since 1970-01-01).

    `source` is None when no rate is known. `days` holds the needed and the observed days, `counts` the number of
    observations of each observed day; a day of `days` without a count has another day's or the market's rate.
    """

    source: Literal["observed", "market"] | None
    days: Mapping[int, float]
    counts: Mapping[int, int]

    def on(self, block_at: int) -> float | None:
        """Return the USD per SOL on the day of a Unix time, None when no rate is known at all."""
        day = block_at // DAY_S
        if day in self.days:
            return self.days[day]
        return self.days[_nearest(day, self.counts or self.days)] if self.days else None


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """One wallet's trades in one mint inside the window.

    `bought` and `sold` are base units; `spent_sol` and `received_sol` count priced trades only; `weight` is the share
    of `spent_sol` in the wallet's total, 0 for a mint that was only sold or only bought unpriced. Unix seconds.
    """

    mint: str
    buys: int
    sells: int
    bought: int
    sold: int
    spent_sol: float
    received_sol: float
    first_buy_at: int | None
    last_trade_at: int
    weight: float


def sol_usd_days(
    observations: Iterable[tuple[int, int, int]], days_needed: Iterable[int], market: float | None
) -> Rates:
    """Compute the daily SOL price of one analysis from the observations of its own wallets.

    `observations` are (Unix seconds, 1e-6 USD > 0, lamports > 0). A day's rate is the median of its observations; a
    needed day (since 1970, UTC) without one takes the nearest observed day, the earlier of two; without any
    observation every day takes `market` (USD per SOL). Without a market price the result has no source and no day.
    """
    seen: defaultdict[int, list[float]] = defaultdict(list)
    for block_at, usd, lamports in observations:
        seen[block_at // DAY_S].append(usd * LAMPORTS / (lamports * USD_UNITS))
    if seen:
        observed = {day: statistics.median(rates) for day, rates in sorted(seen.items())}
        needed = {day: observed[_nearest(day, observed)] for day in days_needed}
        return Rates("observed", observed | needed, {day: len(rates) for day, rates in sorted(seen.items())})
    if market is not None and math.isfinite(market) and market > 0:
        return Rates("market", dict.fromkeys(days_needed, market), {})
    return Rates(None, {}, {})


def value_sol(quote: Quote | None, quote_amount: int | None, parts: int, block_at: int, rates: Rates) -> float | None:
    """Return the SOL value of one trade, after the split; None is unpriced."""
    if quote is None or quote_amount is None:
        return None
    if quote == "SOL":
        return quote_amount / (parts * LAMPORTS)
    rate = rates.on(block_at)
    return None if rate is None else quote_amount / (parts * USD_UNITS) / rate


def in_window(block_at: int, window_start_at: float | None, window_end_at: float) -> bool:
    """Return whether a Unix time lies in (start, end]; a start of None is open."""
    return (window_start_at is None or window_start_at < block_at) and block_at <= window_end_at


def allocate(
    movements: Iterable[Movement],
    *,
    rates: Rates,
    excluded: Collection[str],
    window_start_at: float | None,
    window_end_at: float,
) -> list[AllocationRow]:
    """Compute the allocation of one wallet: a row per mint that it bought or sold, sorted by mint.

    Transfers, excluded mints and movements outside (start, end] do not count. Weights sum to 1 after any priced buy;
    no trade gives an empty list. The order of the movements does not matter.
    """
    traded: defaultdict[str, list[Movement]] = defaultdict(list)
    for movement in movements:
        inside = in_window(movement.block_at, window_start_at, window_end_at)
        if inside and movement.side in ("buy", "sell") and movement.mint not in excluded:
            traded[movement.mint].append(movement)
    spent = {mint: _priced(trades, "buy", rates) for mint, trades in traded.items()}
    total = math.fsum(spent.values())
    return [
        _row(mint, traded[mint], spent[mint], spent[mint] / total if total else 0.0, rates) for mint in sorted(traded)
    ]


def _row(mint: str, trades: Collection[Movement], spent_sol: float, weight: float, rates: Rates) -> AllocationRow:
    buys = [trade for trade in trades if trade.side == "buy"]
    sells = [trade for trade in trades if trade.side == "sell"]
    return AllocationRow(
        mint=mint,
        buys=len(buys),
        sells=len(sells),
        bought=sum(trade.amount for trade in buys),
        sold=sum(trade.amount for trade in sells),
        spent_sol=spent_sol,
        received_sol=_priced(sells, "sell", rates),
        first_buy_at=min((trade.block_at for trade in buys), default=None),
        last_trade_at=max(trade.block_at for trade in trades),
        weight=weight,
    )


def _priced(trades: Iterable[Movement], side: str, rates: Rates) -> float:
    """Sum the SOL values of the priced trades of one side; the sum is exact, so that order does not matter."""
    values = (
        value_sol(trade.quote, trade.quote_amount, trade.parts, trade.block_at, rates)
        for trade in trades
        if trade.side == side
    )
    return math.fsum(value for value in values if value is not None)


def _nearest(day: int, days: Iterable[int]) -> int:
    """Return the nearest of some days, the earlier of two."""
    return min(days, key=lambda candidate: (abs(candidate - day), candidate))
