"""The allocation of many wallets at once, from arrays of trades: exactly the rows of `allocation` for each wallet.

Section 2 of docs/measures.md. Sums are exact, so that they do not depend on the order of the trades. Window and
exclusions are applied before: every trade given counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measures.allocation import DAY_S, LAMPORTS, USD_UNITS, Rates
from tasks.measures.arrays import Floats, Integers

NO_QUOTE, SOL, USD = 0, 1, 2
"""The quote of a trade: unknown, SOL, or dollars of either kind."""
BUY, SELL = 0, 1
EXACT_BELOW = 2**53
"""From here on not every integer is a double."""
NEVER = 2**62
"""Unix seconds: the first buy of a mint that was never bought."""


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Trades of some wallets as equally long arrays, in any order.

    `wallet` and `mint` are numbers, `side` 0 (buy) or 1 (sell), `time` Unix seconds; `amount` has base units as Python
    integers of any size, `value_sol` NaN where a trade is unpriced.
    """

    wallet: Integers
    mint: Integers
    side: Integers
    time: Integers
    amount: NDArray[np.object_]
    value_sol: Floats

    def __len__(self) -> int:
        return len(self.wallet)


@dataclass(frozen=True, slots=True)
class Allocations:
    """A row per wallet and mint, in their order, as equally long arrays with the meaning of `AllocationRow`.

    `bought` and `sold` hold Python integers; `first_buy_at` is `NEVER` without a buy.
    """

    wallet: Integers
    mint: Integers
    buys: Integers
    sells: Integers
    bought: NDArray[np.object_]
    sold: NDArray[np.object_]
    spent_sol: Floats
    received_sol: Floats
    first_buy_at: Integers
    last_trade_at: Integers
    weight: Floats

    def __len__(self) -> int:
        return len(self.wallet)


def values_sol(quote: Integers, quote_amount: Integers, parts: Integers, time: Integers, rates: Rates) -> Floats:
    """Return the SOL value of every trade after the split, NaN where it is unpriced.

    `quote` is one of `NO_QUOTE`, `SOL` and `USD`; `quote_amount` is in its base units.
    """
    units = np.where(quote == SOL, LAMPORTS, USD_UNITS)
    values = quote_amount / (parts * units).astype(np.float64)
    for large in np.flatnonzero(np.abs(quote_amount) >= EXACT_BELOW).tolist():
        values[large] = int(quote_amount[large]) / (int(parts[large]) * int(units[large]))
    days, index = np.unique(time // DAY_S, return_inverse=True)
    known = [rates.on(day * DAY_S) for day in days.tolist()]
    daily = np.array([math.nan if rate is None else rate for rate in known], dtype=np.float64)
    values = np.where(quote == USD, values / daily[index], values)
    values[quote == NO_QUOTE] = np.nan
    return np.asarray(values, dtype=np.float64)


def allocate(trades: TradeColumns) -> Allocations:
    """Compute the allocation rows of every wallet; no trade gives empty arrays."""
    order = np.lexsort((trades.mint, trades.wallet))
    wallet, mint, side, time = (c[order] for c in (trades.wallet, trades.mint, trades.side, trades.time))
    starts = _starts(wallet, mint)
    if not len(order):
        return _no_rows()
    is_buy, amount, value_sol = side == BUY, trades.amount[order], np.nan_to_num(trades.value_sol[order], nan=0.0)
    spent_sol = _sums(np.where(is_buy, value_sol, 0.0), starts)
    return Allocations(
        wallet=wallet[starts],
        mint=mint[starts],
        buys=np.add.reduceat(is_buy.astype(np.int64), starts),
        sells=np.add.reduceat((~is_buy).astype(np.int64), starts),
        bought=np.add.reduceat(np.where(is_buy, amount, 0), starts),
        sold=np.add.reduceat(np.where(is_buy, 0, amount), starts),
        spent_sol=spent_sol,
        received_sol=_sums(np.where(is_buy, 0.0, value_sol), starts),
        first_buy_at=np.minimum.reduceat(np.where(is_buy, time, NEVER), starts),
        last_trade_at=np.maximum.reduceat(time, starts),
        weight=_weights(wallet[starts], spent_sol),
    )


def _no_rows() -> Allocations:
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float64)
    any_size = np.zeros(0, dtype=object)
    return Allocations(whole, whole, whole, whole, any_size, any_size, real, real, whole, whole, real)


def _starts(*columns: NDArray[Any]) -> Integers:
    """Return the positions at which one of the columns changes, the first included."""
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def _sums(values: Floats, starts: Integers) -> Floats:
    """Sum runs of values, rounded once: a sum of two numbers is, a longer one uses `fsum`."""
    sums: Floats = np.add.reduceat(values, starts)
    addends = np.add.reduceat((values != 0).astype(np.int64), starts)
    ends = np.append(starts[1:], len(values))
    for run in np.flatnonzero(addends > 2).tolist():
        sums[run] = math.fsum(values[starts[run] : ends[run]].tolist())
    return sums


def _weights(wallet: Integers, spent_sol: Floats) -> Floats:
    starts = _starts(wallet)
    totals = np.repeat(_sums(spent_sol, starts), np.diff(np.append(starts, len(wallet))))
    return np.divide(spent_sol, totals, out=np.zeros(len(wallet)), where=totals > 0)
