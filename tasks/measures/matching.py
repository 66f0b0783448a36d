"""Matching the trades of two wallets one to one, smallest gap first, for many pairs at once.

Section 5 of docs/measures.md, "Matching". Trades of one wallet with the same mint, side and second form a *moment*.

Trades are matched in this strict order: gap, time of the earlier of the two trades, then the smaller of their two
signatures and the larger. The order does not depend on which wallet is a.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.measures.arrays import Floats, Integers

Flags = NDArray[np.bool_]
Numbers = NDArray[Any]
"""Integers of any width; there is one of each for every trade, so they are stored as narrow as possible."""

NEVER = 2**62
"""Seconds: the time of a missing trade, and the gap to it."""


@dataclass(frozen=True, slots=True)
class TimedTrades:
    """Trades as equally long arrays of integers, in any order.

    `index` is the index of the transaction in its slot, -1 where unknown; `rank` orders the signatures of a wallet as
    strings, equal for trades of one transaction. A wallet, mint, side and rank occur once.
    """

    wallet: Numbers
    mint: Numbers
    side: Numbers
    time: Numbers
    slot: Numbers
    index: Numbers
    rank: Numbers

    def __len__(self) -> int:
        return len(self.wallet)

    def at(self, positions: Numbers) -> TimedTrades:
        """Return the trades at some positions, in their order."""
        return TimedTrades(*(column[positions] for column in self.columns()))

    def columns(self) -> tuple[Numbers, ...]:
        """Return the arrays in the order of their names above."""
        return self.wallet, self.mint, self.side, self.time, self.slot, self.index, self.rank


@dataclass(frozen=True, slots=True)
class TradeIndex:
    """Trades in the order wallet, mint, side, time, signature, in rows (a wallet with a mint) of two sides.

    `order` are the positions of the trades as given. `rows` (wallets × mints, CSR) holds row number + 1. Of each row
    and side (rows × 2): the number of trades, the sum of their densities, first and last time (`NEVER` and −`NEVER`
    without a trade), and the range of its moments. Of each moment: its time, first trade and number of trades.
    """

    trades: TimedTrades
    order: Integers
    rows: csr_matrix
    count: Integers
    density: Floats
    first: Integers
    last: Integers
    moment_start: Integers
    moment_count: Integers
    moment_time: Numbers
    moment_trade: Numbers
    moment_size: Numbers

    def of_moments(self) -> tuple[Numbers, ...]:
        """Return the time of each moment, its first trade and its number of trades."""
        return self.moment_time, self.moment_trade, self.moment_size


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared mints of some pairs, by pair and mint: the number of the pair and the rows of both wallets."""

    pair: Integers
    row_a: Integers
    row_b: Integers


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of many pairings as equally long arrays, in the order (pairing, time, of_b).

    A pairing is one mint and side of one pair of wallets. `of_b` is 1 where the trades are b's, otherwise 0; `time` in
    Unix seconds. The trades are numbered `first`, `first` + 1 and so on, `count` ≥ 1 of them, in the order of their
    signatures. No two moments of one wallet in a pairing have the same time.
    """

    pairing: Integers
    of_b: Integers
    time: Integers
    first: Integers
    count: Integers

    def __len__(self) -> int:
        return len(self.pairing)

    def only(self, wanted: Flags | Integers) -> Moments:
        """Return the flagged moments, or those at some positions in their order."""
        columns = (self.pairing, self.of_b, self.time, self.first, self.count)
        return Moments(*(column[wanted] for column in columns))


@dataclass(frozen=True, slots=True)
class Matched:
    """Matches as equally long arrays in no particular order: the number of the pair and those of both trades."""

    pair: Integers
    trade_a: Integers
    trade_b: Integers


def index_trades(trades: TimedTrades, density: Floats, wallets_least: int) -> TradeIndex:
    """Index trades; `density` is f of each trade, and `rows` has at least `wallets_least` wallets."""
    mint_count = int(trades.mint.max(initial=-1)) + 1
    series = (trades.wallet.astype(np.int64) * mint_count + trades.mint) * 2 + trades.side
    order = np.lexsort((trades.rank, trades.time, series))
    ordered = trades.at(order)
    row_opens = _changes(ordered.wallet, ordered.mint)
    row_count = int(np.count_nonzero(row_opens))
    series = (np.cumsum(row_opens) - 1) * 2 + ordered.side
    moment_trade = np.flatnonzero(_changes(series, ordered.time))
    count = np.bincount(series, minlength=2 * row_count)
    moment_count = np.bincount(series[moment_trade], minlength=2 * row_count)
    first, last = _ends(ordered.time, count)
    by_side = (row_count, 2)
    return TradeIndex(
        trades=ordered,
        order=order,
        rows=_row_matrix(ordered.wallet[row_opens], ordered.mint[row_opens], wallets_least, mint_count),
        count=count.reshape(by_side),
        density=sums(series, density[order], 2 * row_count).reshape(by_side),
        first=first.reshape(by_side),
        last=last.reshape(by_side),
        moment_start=(np.cumsum(moment_count) - moment_count).reshape(by_side),
        moment_count=moment_count.reshape(by_side),
        moment_time=ordered.time[moment_trade],
        moment_trade=narrowed(moment_trade),
        moment_size=narrowed(np.diff(np.append(moment_trade, len(ordered)))),
    )


def share_mints(index: TradeIndex, a: Integers, b: Integers) -> Shared:
    """Find the mints that both wallets of each pair `a[i]`, `b[i]` traded, on any side."""
    rows = index.rows
    present = csr_matrix((np.ones_like(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    left, right = rows[a].multiply(present[b]), present[a].multiply(rows[b])
    pair = np.repeat(np.arange(len(a), dtype=np.int64), np.diff(left.indptr))
    return Shared(pair, left.data - 1, right.data - 1)


def share_two(index: TradeIndex) -> Shared:
    """Find the shared mints of wallets 0 and 1 alone: a sparse matrix product takes milliseconds to set up."""
    mints, numbers, starts = index.rows.indices, index.rows.data, index.rows.indptr
    a, b = slice(starts[0], starts[1]), slice(starts[1], starts[2])
    _, in_a, in_b = np.intersect1d(mints[a], mints[b], assume_unique=True, return_indices=True)
    return Shared(np.zeros(len(in_a), dtype=np.int64), numbers[a][in_a] - 1, numbers[b][in_b] - 1)


def match_shared(index: TradeIndex, shared: Shared, window_s: int) -> Matched:
    """Match the trades of some pairs on their shared mints; trades are numbered in the order of the index."""
    a, b = shared.row_a, shared.row_b
    earliest = index.first - window_s
    near = earliest.take(a, axis=0) <= index.last.take(b, axis=0)
    near &= earliest.take(b, axis=0) <= index.last.take(a, axis=0)
    shared_row, side = np.nonzero(near)
    parts = [_moments(index, rows[shared_row], side, of_b) for of_b, rows in enumerate((a, b))]
    both = Moments(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))
    pairing, trade_a, trade_b = match(both.only(_merged(both.pairing, both.time)), window_s)
    return Matched(shared.pair[shared_row[pairing]], trade_a, trade_b)


def match(moments: Moments, window_s: int) -> tuple[Integers, Integers, Integers]:
    """Match the trades of every pairing, each at most once and over a gap of at most `window_s` seconds.

    Returns the pairing, a's trade and b's trade of each match, in no particular order; no moment gives empty arrays.
    Memory is proportional to the number of trades.
    """
    # Why rounds give the greedy result. When two moments are each other's best (first in the order) of all that
    # remain, no earlier match touches either of them, so the greedy algorithm, which takes matches in order, reaches
    # theirs before it could use up one of their trades; inside two moments the k-th signature matches the k-th. The
    # first match of all is of that kind, so every round makes progress. The order of moments is strict where it
    # matters: for the same gap and earlier time both wallets would need trades at both ends, and these match at gap 0
    # first. A best partner is the nearest moment of the other wallet, and a moment between two mutual best ones would
    # be nearer to one of them: so they are neighbours.
    taken = [_match_moments(moments, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
    while len(moments):
        before, after = _nearest(moments, window_s)
        at = np.flatnonzero(_mutual(moments, before, after))
        size = np.minimum(moments.count[at], moments.count[at + 1])
        taken.append(_match_moments(moments, at, size))
        moments = _without(moments, at, size, np.minimum(before, after) < NEVER)
    pairing, trade_a, trade_b = (np.concatenate(column) for column in zip(*taken, strict=True))
    return pairing, trade_a, trade_b


def sums(group: Integers, numbers: NDArray[Any], group_count: int) -> Floats:
    """Sum the numbers of every group; 0 for an empty one."""
    return np.bincount(group, weights=numbers, minlength=group_count).astype(np.float64, copy=False)


def narrowed(numbers: Numbers) -> Numbers:
    """Return integers in 32 bits where they fit."""
    narrow = np.iinfo(np.int32)
    fits = not len(numbers) or (numbers.min() >= narrow.min and numbers.max() <= narrow.max)
    return numbers.astype(np.int32) if fits else numbers


def _changes(*columns: Numbers) -> NDArray[np.bool_]:
    """Mark the positions where one of the columns differs from the one before; the first is marked."""
    changed = np.ones(len(columns[0]), dtype=np.bool_)
    changed[1:] = False
    for column in columns:
        changed[1:] |= np.diff(column) != 0
    return changed


def _ends(time: Numbers, count: Integers) -> tuple[Integers, Integers]:
    """Return the first and the last time of each of the consecutive series of `count` trades."""
    stop = np.cumsum(count)
    first, last = np.full(len(count), NEVER), np.full(len(count), -NEVER)
    first[count > 0] = time[(stop - count)[count > 0]]
    last[count > 0] = time[stop[count > 0] - 1]
    return first, last


def _row_matrix(wallet: Numbers, mint: Numbers, wallets_least: int, mint_count: int) -> csr_matrix:
    shape = (max(wallets_least, int(wallet.max(initial=-1)) + 1), mint_count)
    starts = np.concatenate([[0], np.cumsum(np.bincount(wallet, minlength=shape[0]))])
    return csr_matrix((np.arange(1, len(wallet) + 1), mint, starts), shape=shape)


def _moments(index: TradeIndex, row: Integers, side: Integers, of_b: int) -> tuple[Integers, ...]:
    """Return the columns of `Moments` for one wallet of each pairing."""
    size = index.moment_count[row, side]
    moment = _spread(index.moment_start[row, side], size)
    return (
        np.repeat(np.arange(len(row), dtype=np.int64), size),
        np.full(len(moment), of_b, dtype=np.int64),
        # Wide again: their sums may not fit.
        *(column[moment].astype(np.int64) for column in index.of_moments()),
    )


def _merged(pairing: Integers, time: Integers) -> Integers:
    """Return the order by pairing and time of a's moments followed by b's, each of them sorted."""
    # A stable sort of one key only merges two sorted parts, which is many times faster than `np.lexsort`.
    least = int(time.min(initial=NEVER))
    width = int(time.max(initial=least)) - least + 1
    return np.argsort(pairing * width + (time - least), kind="stable")


def _spread(starts: Integers, counts: Integers) -> Integers:
    """Concatenate ranges: start, start + 1, …, `counts` numbers from each start."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)


def _nearest(moments: Moments, window_s: int) -> tuple[Integers, Integers]:
    """Return the gaps to the other wallet's nearest moments at or before each, and at or after; `NEVER` without one."""
    positions = np.arange(len(moments), dtype=np.int64)
    opens = np.ones(len(moments) + 1, dtype=np.bool_)
    opens[1:-1] = (np.diff(moments.pairing) != 0) | (np.diff(moments.of_b) != 0)
    # Adjacent moments of one wallet form a run: the nearest moments of the other wallet lie just outside.
    run = np.cumsum(opens[:-1]) - 1
    bounds = np.flatnonzero(opens)
    return (
        _gap(moments, positions, bounds[run] - 1, window_s),
        _gap(moments, positions, bounds[run + 1], window_s),
    )


def _gap(moments: Moments, positions: Integers, others: Integers, window_s: int) -> Integers:
    inside = np.clip(others, 0, len(moments) - 1)
    gaps = np.abs(moments.time[inside] - moments.time)
    reached = (inside == others) & (moments.pairing[inside] == moments.pairing) & (gaps <= window_s)
    return np.where(reached, gaps, NEVER)


def _mutual(moments: Moments, before: Integers, after: Integers) -> Flags:
    """Mark the moments to match with their right neighbour now, one flag fewer than there are moments.

    These are the mutual best, and of every chain of equal gaps each second one: two wallets that trade at regular
    intervals would otherwise need a round per trade.
    """
    gaps = after[:-1]
    best = (moments.of_b[1:] != moments.of_b[:-1]) & (gaps < NEVER) & (gaps <= after[1:])
    # A tie goes to the neighbour before. Once that one is matched completely with its own neighbour before, the rest
    # before this moment is further away.
    chained = np.zeros(len(best), dtype=np.bool_)
    chained[1:] = best[1:] & (gaps[1:] == before[1:-1]) & (moments.count[1:-1] == moments.count[:-2])
    positions = np.arange(len(best), dtype=np.int64)
    start = np.maximum.accumulate(np.where(chained, 0, positions))
    mutual: Flags = best & (best & (gaps < before[:-1]))[start] & ((positions - start) % 2 == 0)
    return mutual


def _match_moments(moments: Moments, at: Integers, size: Integers) -> tuple[Integers, Integers, Integers]:
    """Match the first `size` trades of each moment `at` with those of its right neighbour, k-th with k-th."""
    left, right = _spread(moments.first[at], size), _spread(moments.first[at + 1], size)
    swapped = np.repeat(moments.of_b[at] == 1, size)
    return np.repeat(moments.pairing[at], size), np.where(swapped, right, left), np.where(swapped, left, right)


def _without(moments: Moments, at: Integers, size: Integers, reached: Flags) -> Moments:
    """Remove matched trades, and moments without a partner in reach: they will never have one, since gaps only grow."""
    used = np.zeros(len(moments), dtype=np.int64)
    used[at] += size
    used[at + 1] += size
    count = moments.count - used
    rest = Moments(moments.pairing, moments.of_b, moments.time, moments.first + used, count)
    return rest.only(reached & (count > 0))
