"""Matching the trades of two wallets one to one, smallest gap first, for many pairs at once.

Trades are cut into moments: those of one wallet with the same mint, side and second. What the matches mean, and how
many come about by chance, is `timing`'s business. Section 5 of measures.md.

Trades are matched in this strict order: gap, time of the earlier of the two trades, then the smaller of their two
signatures and the larger. Nothing in it depends on which wallet is called a.
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
"""Integers of any width: there is one of each for every trade, so that they are held as narrow as they may be."""

NEVER = 2**62
"""Seconds: the time of a trade that there is not, and the gap to it."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades as equally long arrays of integers, in any order.

    `index` is the place of the transaction in its slot, -1 where unknown; `rank` orders the signatures of a wallet as
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

    def at(self, positions: Numbers) -> Trades:
        """Give the trades at some positions, in their order."""
        return Trades(*(column[positions] for column in self.columns()))

    def columns(self) -> tuple[Numbers, ...]:
        """Give the arrays in the order of their names above."""
        return self.wallet, self.mint, self.side, self.time, self.slot, self.index, self.rank


@dataclass(frozen=True, slots=True)
class Histories:
    """Trades in the order wallet, mint, side, time, signature, in rows (a wallet with a mint) of two sides.

    `order` are the positions of the trades as given. `rows` (wallets × mints, CSR) holds row number + 1. Of each row
    and side (rows × 2): the number of trades, the sum of their crowding, first and last time (`NEVER` and −`NEVER`
    without a trade), and which moments are theirs. Of each moment: its time, its first trade and how many it has.
    """

    trades: Trades
    order: Integers
    rows: csr_matrix
    count: Integers
    crowd: Floats
    first: Integers
    last: Integers
    moment_start: Integers
    moment_count: Integers
    moment_time: Numbers
    moment_trade: Numbers
    moment_size: Numbers

    def of_moments(self) -> tuple[Numbers, ...]:
        """Give the time of each moment, its first trade and how many it has."""
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

    A pairing is one mint and side of one pair of wallets. `of_b` is 1 where the trades are b's, else 0; `time` in Unix
    seconds. The trades are numbered `first`, `first` + 1 and so on, `count` ≥ 1 of them, in the order of their
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
        """Keep the moments that are flagged, or those at some positions in their order."""
        columns = (self.pairing, self.of_b, self.time, self.first, self.count)
        return Moments(*(column[wanted] for column in columns))


@dataclass(frozen=True, slots=True)
class Matched:
    """Matches as equally long arrays in no particular order: the number of the pair and those of both trades."""

    pair: Integers
    trade_a: Integers
    trade_b: Integers


def build_histories(trades: Trades, crowd: Floats, wallets_least: int) -> Histories:
    """Order and cut trades, `crowd` being one number a trade; `wallets_least`: at least so many wallets get rows."""
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
    return Histories(
        trades=ordered,
        order=order,
        rows=_row_matrix(ordered.wallet[row_opens], ordered.mint[row_opens], wallets_least, mint_count),
        count=count.reshape(by_side),
        crowd=sums(series, crowd[order], 2 * row_count).reshape(by_side),
        first=first.reshape(by_side),
        last=last.reshape(by_side),
        moment_start=(np.cumsum(moment_count) - moment_count).reshape(by_side),
        moment_count=moment_count.reshape(by_side),
        moment_time=ordered.time[moment_trade],
        moment_trade=narrowed(moment_trade),
        moment_size=narrowed(np.diff(np.append(moment_trade, len(ordered)))),
    )


def share_mints(histories: Histories, a: Integers, b: Integers) -> Shared:
    """Find the mints that both wallets of each pair `a[i]`, `b[i]` traded, on any side."""
    rows = histories.rows
    present = csr_matrix((np.ones_like(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    left, right = rows[a].multiply(present[b]), present[a].multiply(rows[b])
    pair = np.repeat(np.arange(len(a), dtype=np.int64), np.diff(left.indptr))
    return Shared(pair, left.data - 1, right.data - 1)


def share_two(histories: Histories) -> Shared:
    """Find the same of wallets 0 and 1 alone: a product of sparse matrices takes milliseconds to set up."""
    mints, numbers, starts = histories.rows.indices, histories.rows.data, histories.rows.indptr
    a, b = slice(starts[0], starts[1]), slice(starts[1], starts[2])
    _, in_a, in_b = np.intersect1d(mints[a], mints[b], assume_unique=True, return_indices=True)
    return Shared(np.zeros(len(in_a), dtype=np.int64), numbers[a][in_a] - 1, numbers[b][in_b] - 1)


def match_shared(histories: Histories, shared: Shared, window_s: int) -> Matched:
    """Match the trades of some pairs on their shared mints; trades are numbered in the order of the histories."""
    a, b = shared.row_a, shared.row_b
    earliest = histories.first - window_s
    near = earliest.take(a, axis=0) <= histories.last.take(b, axis=0)
    near &= earliest.take(b, axis=0) <= histories.last.take(a, axis=0)
    place, side = np.nonzero(near)
    parts = [_moments(histories, place, rows[place], side, of_b) for of_b, rows in enumerate((a, b))]
    both = Moments(*(np.concatenate(pair) for pair in zip(*parts, strict=True)))
    pairing, trade_a, trade_b = match(both.only(_merged(both.pairing, both.time)), window_s)
    return Matched(shared.pair[place[pairing]], trade_a, trade_b)


def match(moments: Moments, window_s: int) -> tuple[Integers, Integers, Integers]:
    """Match the trades of every pairing, none of them twice and none over a gap of more than `window_s` seconds.

    Gives of each match, in no particular order, the pairing, a's trade and b's trade; nothing for no moment. Memory is
    proportional to the number of trades, never to a product of two numbers.
    """
    # Why rounds give what greed gives. When two moments are each other's best (smallest in the order) of all that
    # remain, then no smaller match touches either of them, so the greedy walk, which takes matches from the smallest
    # up, comes to theirs before it could have used up one of their trades; and between equal moments the smaller
    # signatures meet, k-th with k-th. The smallest match of all is of that kind, so every round makes progress. The
    # order of moments is strict where it matters: the same gap and earlier time would need both wallets to have
    # trades at both ends, and these match at gap 0 first. A best partner is the nearest of the other wallet, and what
    # lies between two moments that are each other's best would be nearer to one of them: so they are neighbours.
    taken = [_pairs_up(moments, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
    while len(moments):
        before, after = _nearest(moments, window_s)
        at = np.flatnonzero(_mutual(moments, before, after))
        size = np.minimum(moments.count[at], moments.count[at + 1])
        taken.append(_pairs_up(moments, at, size))
        moments = _without(moments, at, size, np.minimum(before, after) < NEVER)
    pairing, trade_a, trade_b = (np.concatenate(column) for column in zip(*taken, strict=True))
    return pairing, trade_a, trade_b


def sums(group: Integers, numbers: NDArray[Any], group_count: int) -> Floats:
    """Add up the numbers of every group, 0 for a group without any."""
    return np.bincount(group, weights=numbers, minlength=group_count).astype(np.float64, copy=False)


def narrowed(numbers: Numbers) -> Numbers:
    """Give integers in half the width, where they fit into it."""
    narrow = np.iinfo(np.int32)
    fits = not len(numbers) or (numbers.min() >= narrow.min and numbers.max() <= narrow.max)
    return numbers.astype(np.int32) if fits else numbers


def _changes(*columns: Numbers) -> NDArray[np.bool_]:
    """Mark where one of the columns differs from the place before; the first place is marked."""
    changed = np.ones(len(columns[0]), dtype=np.bool_)
    changed[1:] = False
    for column in columns:
        changed[1:] |= np.diff(column) != 0
    return changed


def _ends(time: Numbers, count: Integers) -> tuple[Integers, Integers]:
    """Give the first and the last time of each of the series that lie one after another, `count` trades long."""
    stop = np.cumsum(count)
    first, last = np.full(len(count), NEVER), np.full(len(count), -NEVER)
    first[count > 0] = time[(stop - count)[count > 0]]
    last[count > 0] = time[stop[count > 0] - 1]
    return first, last


def _row_matrix(wallet: Numbers, mint: Numbers, wallets_least: int, mint_count: int) -> csr_matrix:
    shape = (max(wallets_least, int(wallet.max(initial=-1)) + 1), mint_count)
    starts = np.concatenate([[0], np.cumsum(np.bincount(wallet, minlength=shape[0]))])
    return csr_matrix((np.arange(1, len(wallet) + 1), mint, starts), shape=shape)


def _moments(histories: Histories, place: Integers, row: Integers, side: Integers, of_b: int) -> tuple[Integers, ...]:
    """Give the columns of `Moments` for one wallet of each pairing."""
    size = histories.moment_count[row, side]
    moment = _spread(histories.moment_start[row, side], size)
    return (
        np.repeat(np.arange(len(place), dtype=np.int64), size),
        np.full(len(moment), of_b, dtype=np.int64),
        # Wide again: sums of these may be larger than what they are added up from.
        *(column[moment].astype(np.int64) for column in histories.of_moments()),
    )


def _merged(pairing: Integers, time: Integers) -> Integers:
    """Give the order by pairing and time of a's moments and b's, each in order and one after the other, a's first."""
    # A stable sort of one key only merges two sorted parts, which is many times faster than `np.lexsort`.
    least = int(time.min(initial=NEVER))
    width = int(time.max(initial=least)) - least + 1
    return np.argsort(pairing * width + (time - least), kind="stable")


def _spread(starts: Integers, counts: Integers) -> Integers:
    """Number the members of ranges one after another: start, start + 1, …, `counts` numbers from each start."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)


def _nearest(moments: Moments, window_s: int) -> tuple[Integers, Integers]:
    """Give the gaps to the nearest moment of the other wallet at or before each, and at or after; `NEVER` if none."""
    positions = np.arange(len(moments), dtype=np.int64)
    opens = np.ones(len(moments) + 1, dtype=np.bool_)
    opens[1:-1] = (np.diff(moments.pairing) != 0) | (np.diff(moments.of_b) != 0)
    # Neighbours of one wallet form a run: the moments of the other wallet nearest to it lie just outside.
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
    """Mark the moments that are matched with their right neighbour now, one flag fewer than there are moments.

    These are the mutual best, and of every chain of equal gaps each second one: a regular rhythm of two wallets
    would otherwise take as many rounds as it has beats.
    """
    gaps = after[:-1]
    best = (moments.of_b[1:] != moments.of_b[:-1]) & (gaps < NEVER) & (gaps <= after[1:])
    # A tie with the neighbour before goes to that one. Once it is matched without remainder with its own neighbour
    # before, what is left before this moment is further away.
    chained = np.zeros(len(best), dtype=np.bool_)
    chained[1:] = best[1:] & (gaps[1:] == before[1:-1]) & (moments.count[1:-1] == moments.count[:-2])
    positions = np.arange(len(best), dtype=np.int64)
    start = np.maximum.accumulate(np.where(chained, 0, positions))
    mutual: Flags = best & (best & (gaps < before[:-1]))[start] & ((positions - start) % 2 == 0)
    return mutual


def _pairs_up(moments: Moments, at: Integers, size: Integers) -> tuple[Integers, Integers, Integers]:
    """Match the first `size` trades of each moment `at` with those of its right neighbour, k-th with k-th."""
    left, right = _spread(moments.first[at], size), _spread(moments.first[at + 1], size)
    swapped = np.repeat(moments.of_b[at] == 1, size)
    return np.repeat(moments.pairing[at], size), np.where(swapped, right, left), np.where(swapped, left, right)


def _without(moments: Moments, at: Integers, size: Integers, reached: Flags) -> Moments:
    """Take away matched trades, and moments without a partner in reach: they can get none, for gaps only grow."""
    used = np.zeros(len(moments), dtype=np.int64)
    used[at] += size
    used[at + 1] += size
    count = moments.count - used
    rest = Moments(moments.pairing, moments.of_b, moments.time, moments.first + used, count)
    return rest.only(reached & (count > 0))
