"""Who trades with whom, and who first: the matched trades of a pair, and the matches expected by chance.

Section 5 of docs/measures.md for given pairs; `matching` has the matching itself. Wallets and mints are numbers, sides
0 (buy) and 1 (sell), times Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import pdtrc

from tasks.measures.arrays import Floats, Integers
from tasks.measures.density import distinct
from tasks.measures.matching import (
    Shared,
    TimedTrades,
    TradeIndex,
    index_trades,
    match_shared,
    share_mints,
    share_two,
    sums,
)

CHUNK_TRADES = 500_000
"""Trades of both wallets of all pairs matched at once."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of pairs as equally long arrays, in the order in which the pairs were given.

    `matched_mints` counts the mints with a match, `same_slot` the matches in one slot. `matched_share` is NaN without
    a shared mint, `median_lag_s` (positive: a first) without a match. `leader` is 1 where a is first in more matches,
    2 where b is, otherwise 0 and `lead_share` NaN. `expected` is the number of matches by chance (λ); where it is 0,
    `timing_p_value` is NaN.
    """

    matched: Integers
    matched_mints: Integers
    matched_share: Floats
    same_slot: Integers
    median_lag_s: Floats
    leader: NDArray[np.int8]
    lead_share: Floats
    expected: Floats
    timing_p_value: Floats

    def __len__(self) -> int:
        return len(self.matched)


@dataclass(frozen=True, slots=True)
class TradeMatch:
    """One match: the positions of both trades in the arrays given, time_b − time_a, and the first wallet.

    `leader` is 1 for a, 2 for b, 0 where neither was first or the order is unknown.
    """

    trade_a: int
    trade_b: int
    lag_s: int
    same_slot: bool
    leader: int


def measure(trades: TimedTrades, density: Floats, a: ArrayLike, b: ArrayLike, window_s: int) -> Timing:
    """Measure the timing of the pairs `a[i]`, `b[i]` of two different wallets; `density` is f of each trade.

    Exchanging a and b changes the sign of the lag and leader 1 to 2, and nothing else. No pair gives empty arrays.
    Memory is bounded by `CHUNK_TRADES`, or by the trades of the two busiest wallets.
    """
    first, second = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    index = index_trades(trades, density, int(max(first.max(initial=-1), second.max(initial=-1))) + 1)
    volume = np.bincount(trades.wallet, minlength=index.rows.shape[0])
    chunk = np.cumsum(volume[first] + volume[second] + 1) // CHUNK_TRADES
    bounds = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(first)]
    parts = [
        _timing(index, first[start:stop], second[start:stop], window_s)
        for start, stop in zip(bounds, bounds[1:], strict=False)
    ]
    return Timing(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def matches(trades_a: TimedTrades, trades_b: TimedTrades, window_s: int) -> list[TradeMatch]:
    """List the matches of one pair, exactly those that `measure` counts, by the time of the earlier trade.

    The arrays hold all trades of one wallet each, with ranks common to both. Ties in time are listed by signature.
    """
    sides = [
        (np.full(len(trades), number, dtype=np.int64), *trades.columns()[1:])
        for number, trades in enumerate((trades_a, trades_b))
    ]
    both = TimedTrades(*(np.concatenate(columns) for columns in zip(*sides, strict=True)))
    index = index_trades(both, np.zeros(len(both)), 2)
    found = match_shared(index, share_two(index), window_s)
    left, right = index.trades.at(found.trade_a), index.trades.at(found.trade_b)
    lead = _lead(left, right)
    pairs = ((left.rank, right.rank), (left.time, right.time))
    keys = [choose(*pair) for pair in pairs for choose in (np.maximum, np.minimum)]
    listed = np.lexsort((left.side, left.mint, *keys))
    return [
        TradeMatch(trade_a, trade_b - len(trades_a), lag_s, same_slot, leader)
        for trade_a, trade_b, lag_s, same_slot, leader in zip(
            index.order[found.trade_a][listed].tolist(),
            index.order[found.trade_b][listed].tolist(),
            (right.time - left.time)[listed].tolist(),
            (right.slot == left.slot)[listed].tolist(),
            np.where(lead < 0, 2, lead)[listed].tolist(),
            strict=True,
        )
    ]


def _lead(a: TimedTrades, b: TimedTrades) -> Integers:
    """Return which trade of each match was first: 1 a, −1 b, 0 for one transaction or an unknown order in a slot."""
    known = (a.index >= 0) & (b.index >= 0)
    by_index = np.where(known, np.sign(b.index - a.index), 0)
    return np.where(a.slot == b.slot, by_index, np.sign(b.slot - a.slot))


def _timing(index: TradeIndex, a: Integers, b: Integers, window_s: int) -> dict[str, NDArray[Any]]:
    """Compute the columns of `Timing` for some pairs of wallet numbers."""
    shared = share_mints(index, a, b)
    found = match_shared(index, shared, window_s)
    left, right = index.trades.at(found.trade_a), index.trades.at(found.trade_b)
    pairs, lead = len(a), _lead(left, right)
    matched = np.bincount(found.pair, minlength=pairs)
    first_a, first_b = (np.bincount(found.pair[lead == sign], minlength=pairs) for sign in (1, -1))
    leader = np.where(first_a > first_b, 1, np.where(first_b > first_a, 2, 0)).astype(np.int8)
    expected, fewer = _totals(index, shared, pairs)
    chance = np.where(matched > 0, pdtrc(np.maximum(matched - 1, 0), expected), 1.0)
    mint_count = max(1, index.rows.shape[1])
    return {
        "matched": matched,
        "matched_mints": np.bincount(distinct(found.pair * mint_count + left.mint) // mint_count, minlength=pairs),
        "matched_share": _ratio(matched, fewer),
        "same_slot": np.bincount(found.pair[left.slot == right.slot], minlength=pairs),
        "median_lag_s": _medians(found.pair, right.time - left.time, matched),
        "leader": leader,
        "lead_share": _ratio(np.maximum(first_a, first_b), np.where(leader > 0, matched, 0)),
        "expected": expected,
        "timing_p_value": np.where(expected > 0, chance, np.nan),
    }


def _totals(index: TradeIndex, shared: Shared, pairs: int) -> tuple[Floats, Floats]:
    """Return λ over all shared mints and sides, and the smaller number of trades on shared mints of the two."""
    count_a, count_b = (index.count.take(row, axis=0) for row in (shared.row_a, shared.row_b))
    density_a, density_b = (index.density.take(row, axis=0) for row in (shared.row_a, shared.row_b))
    # A side without trades of one wallet adds nothing, since its count is 0.
    expected_matches = np.minimum((count_b * density_a + count_a * density_b) / 2, np.minimum(count_a, count_b))
    # NumPy is slow at sums along an axis of two.
    expected, all_a, all_b = (
        sums(shared.pair, both[:, 0] + both[:, 1], pairs) for both in (expected_matches, count_a, count_b)
    )
    return expected, np.minimum(all_a, all_b)


def _medians(pairing: Integers, lags: Integers, matched: Integers) -> Floats:
    # One sort of keys of pair and lag is faster than `np.lexsort`.
    least, width = int(lags.min(initial=0)), int(lags.max(initial=0)) - int(lags.min(initial=0)) + 1
    ordered = np.append(np.sort(pairing * width + lags - least) % width + least, 0)
    start = np.cumsum(matched) - matched
    middles = ordered[start + np.maximum(matched - 1, 0) // 2] + ordered[start + matched // 2]
    return np.where(matched > 0, middles / 2, np.nan)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Divide, NaN where the whole is 0."""
    ratio: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio
