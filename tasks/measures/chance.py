"""Is it more than chance? The number of mints that two wallets share by chance, and the pairs that share more.

Section 4 of docs/measures.md, for all pairs at once and in bounded memory: p and q depend only on (|T_a|, |T_b|, |S|),
so they are computed once for each such class. The caller counts the background; `pair_selection` selects pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.special import gammainc

from tasks.measures.arrays import Floats, Integers
from tasks.measures.similarity import LEAST_MINTS

Counts = NDArray[np.float32]
"""Numbers of mints, as BLAS multiplies them fastest; whole numbers are exact up to 16 million."""

LEAST_BACKGROUND = 30
"""With fewer background wallets popularity is not known well enough."""
SIGNIFICANT_BELOW = 0.01
MOST_SIGNIFICANT = 2_000_000
BLOCK_CELLS = 1_000_000
"""Cells of a block of rows × wallets that are held as a dense array at once."""
POPULAR_SHARE = 0.05
"""Mints traded by at least this share of the wallets are counted by a dense product, which is faster for them."""
MOST_POPULAR = 1_000
"""The largest number of mints held as dense columns."""


@dataclass(frozen=True, slots=True)
class Population:
    """The background: all known wallets with a trade, under the window and exclusions of the analysis.

    `wallets` is their number, `traded` the number of them that traded each mint: first the mints of the analysis, in
    the order of its columns, then all others, in any order. Raises ValueError for a count outside [0, `wallets`].
    """

    wallets: int
    traded: Integers

    def __post_init__(self) -> None:
        if np.any((self.traded < 0) | (self.traded > self.wallets)):
            raise ValueError("a mint was traded by fewer than no or by more than all background wallets")


@dataclass(frozen=True, slots=True)
class Significance:
    """The chance measures of some pairs, as equally long arrays; NaN is "not enough data".

    `expected` is the number of mints shared by chance, `lift` the shared mints in multiples of it (NaN where none is
    expected); `p_value` and `q_value` lie in [0, 1].
    """

    expected: Floats
    lift: Floats
    p_value: Floats
    q_value: Floats


@dataclass(frozen=True, slots=True)
class SignificantPairs:
    """Pairs `wallet_a` < `wallet_b` with a q value below 0.01: smallest q first, then smallest p, then address order.

    `pairs_total` is their number; `cut`: not all of them are listed.
    """

    wallet_a: Integers
    wallet_b: Integers
    shared: Integers
    pairs_total: int
    cut: bool

    def __len__(self) -> int:
        return len(self.wallet_a)


@dataclass(frozen=True, slots=True)
class _Classes:
    """The classes of pairs that share a mint, smallest p first.

    `key` packs the number of the smaller set size, that of the larger, and |S|; `through` is the number of pairs
    in this class and those before it.
    """

    key: Integers
    p_value: Floats
    q_value: Floats
    through: Integers


@dataclass(frozen=True, slots=True)
class Chance:
    """The chance model of one analysis; `reason` is why nothing is known, otherwise None.

    `pairs_tested` counts the pairs with a defined `behavioural`, kept or not; it is 0 with a reason. `members` are the
    wallets of those pairs, `sizes` their distinct numbers of mints, `size_number` the index in `sizes` for each wallet
    (-1: no member), and `table` the expected shared mints, sizes × sizes.
    """

    reason: str | None
    pairs_tested: int
    presence: csr_matrix
    members: Integers
    sizes: Integers
    size_number: Integers
    table: Floats
    classes: _Classes

    def of_pairs(self, wallet_a: ArrayLike, wallet_b: ArrayLike, shared: ArrayLike) -> Significance:
        """Return the chance measures of pairs of wallet numbers with their |S|, three equally long arrays.

        All four are NaN where nothing is known and where a wallet has fewer than three tokens, `lift` included: pairs
        that share their only token would otherwise lead every list by lift. No pair gives empty arrays.
        """
        numbers_a, numbers_b = (self.size_number[np.asarray(side, dtype=np.int64)] for side in (wallet_a, wallet_b))
        columns = np.full((4, len(numbers_a)), np.nan)
        known = (numbers_a >= 0) & (numbers_b >= 0)
        found = np.asarray(shared, dtype=np.float64)[known]
        if self.reason is None:
            expects = self.table[numbers_a[known], numbers_b[known]]
            p_value = _p_value(found, expects)
            lift = np.divide(found, expects, out=np.full(len(found), np.nan), where=expects > 0)
            columns[:, known] = expects, lift, p_value, _q_value(p_value, self.classes)
        return Significance(*columns)

    def significant(self, limit: int = MOST_SIGNIFICANT) -> SignificantPairs:
        """List the first `limit` pairs with a q value below 0.01; memory is bounded by `limit`."""
        classes = self.classes
        below = int(np.searchsorted(classes.q_value, SIGNIFICANT_BELOW))
        if below == 0:
            none = np.zeros(0, dtype=np.int64)
            return SignificantPairs(none, none, none, pairs_total=0, cut=False)
        total = int(classes.through[below - 1])
        last = min(int(np.searchsorted(classes.through, limit)), below - 1)
        certain = int(np.searchsorted(classes.p_value, classes.p_value[last]))
        through = int(np.searchsorted(classes.p_value, classes.p_value[last], side="right"))
        room = limit - (int(classes.through[certain - 1]) if certain else 0)
        first, second, shared = self._list(self._least(certain), self._least(through), room)
        numbers = self.size_number[first], self.size_number[second]
        order = np.argsort(_p_value(shared.astype(np.float64), self.table[numbers]), kind="stable")
        return SignificantPairs(first[order], second[order], shared[order], pairs_total=total, cut=total > limit)

    def _least(self, count: int) -> Counts:
        """Return for every two set sizes the least |S| among the `count` first classes, infinite without one."""
        least = np.full(self.table.size, np.inf, dtype=np.float32)
        width = int(self.sizes[-1]) + 1
        np.minimum.at(least, self.classes.key[:count] // width, (self.classes.key[:count] % width).astype(np.float32))
        table = least.reshape(self.table.shape)
        return np.minimum(table, table.T)

    def _list(self, certain: Counts, edge: Counts, room: int) -> tuple[Integers, Integers, Integers]:
        """List in address order all pairs from `certain` on, and the first `room` of those from `edge` on."""
        parts: list[tuple[Integers, ...]] = [(np.zeros(0, dtype=np.int64),) * 3]
        numbers = self.size_number[self.members]
        for start, counts in _shared_blocks(self.presence[self.members]):
            places = np.ix_(numbers[start : start + len(counts)], numbers[start:])
            wanted = counts >= certain[places]
            if room > 0:
                more = np.flatnonzero((counts >= edge[places]) & ~wanted)[:room]
                wanted.ravel()[more] = True
                room -= len(more)
            rows, columns = np.nonzero(wanted)
            pair = self.members[rows + start], self.members[columns + start]
            parts.append((*pair, counts[rows, columns].astype(np.int64)))
        first, second, shared = (np.concatenate(part) for part in zip(*parts, strict=True))
        return first, second, shared


def expected(sizes: ArrayLike, background: Population) -> Floats:
    """Return λ, the number of mints shared by chance, for every two of some set sizes, as sizes × sizes.

    No size gives an empty table; all is 0 when no background wallet traded anything.
    """
    traded, mints = np.unique(background.traded[background.traded > 0], return_counts=True)
    share = traded / max(1, int(traded @ mints))
    included = np.minimum(1.0, np.asarray(sizes, dtype=np.float64)[:, None] * share)
    table = (included * mints) @ included.T
    # BLAS may sum the two halves differently, and λ must not depend on the order of a pair.
    return np.asarray(np.triu(table) + np.triu(table, 1).T, dtype=np.float64)


def assess(presence: csr_matrix, background: Population) -> Chance:
    """Compute the chance model of all pairs of wallets, given as wallets × mints (CSR, an entry for every mint of T).

    With fewer than 30 background wallets nothing is known, and the result has a reason. Fewer than two wallets with
    enough mints leave no pair to test. Raises ValueError when the background lacks mints of the analysis.
    """
    if len(background.traded) < presence.shape[1]:
        raise ValueError("the background lacks mints of the analysis")
    mints = np.diff(presence.indptr)
    members = np.flatnonzero(mints >= LEAST_MINTS)
    sizes, inverse = np.unique(mints[members].astype(np.int64), return_inverse=True)
    size_number = np.full(len(mints), -1, dtype=np.int64)
    size_number[members] = inverse
    table = expected(sizes, background)
    reason = _too_few(background)
    pairs = len(members) * (len(members) - 1) // 2 if reason is None else 0
    classes = _Classes(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
    if pairs:
        order = np.argsort(inverse, kind="stable")
        key, pair_counts = _tally(presence[members[order]], inverse[order], sizes)
        classes = _classes(key, pair_counts, sizes, table, pairs)
    return Chance(reason, pairs, presence, members, sizes, size_number, table, classes)


def _too_few(background: Population) -> str | None:
    if background.wallets >= LEAST_BACKGROUND:
        return None
    return f"chance needs a background of {LEAST_BACKGROUND} wallets with trades; {background.wallets} are known"


def _tally(presence: csr_matrix, numbers: Integers, sizes: Integers) -> tuple[Integers, Integers]:
    """Count the pairs of every class that shares a mint, for wallets in the order of their set sizes.

    `numbers` are the indices of their set sizes in `sizes`. Returns the keys, ascending, and the counts.
    """
    keys, pair_counts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for start, counts in _shared_blocks(presence):
        others = numbers[start:]
        steps = np.flatnonzero(np.diff(others[: len(counts)])) + 1
        for top, bottom in pairwise([0, *steps.tolist(), len(counts)]):
            number, shared, found = _tally_rows(counts[top:bottom], others)
            keys.append((others[top] * len(sizes) + number) * (sizes[-1] + 1) + shared)
            pair_counts.append(found)
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")  # one set size may have been counted in several blocks
    key = key[order]
    firsts = np.flatnonzero(np.diff(key, prepend=-1))
    return key[firsts], np.add.reduceat(np.concatenate(pair_counts)[order], firsts)


def _tally_rows(counts: Counts, others: Integers) -> tuple[Integers, Integers, Integers]:
    """Count, in rows of one set size, the pairs of each of the others' set sizes and each |S| > 0."""
    width = int(counts.max()) + 1
    codes = (counts.astype(np.int64) + (others - others[0]) * width).ravel()
    if (others[-1] - others[0] + 1) * width <= len(codes):
        every = np.bincount(codes)
        code = np.flatnonzero(every)
        found = every[code]
    else:
        code, found = np.unique(codes, return_counts=True)
    sharing = code % width > 0
    return code[sharing] // width + others[0], code[sharing] % width, found[sharing]


def _classes(key: Integers, pair_counts: Integers, sizes: Integers, table: Floats, pairs_tested: int) -> _Classes:
    """Compute p of every class, and q by Benjamini–Hochberg over all pairs tested; p is 1 without shared mints."""
    width = sizes[-1] + 1
    p_value = _p_value((key % width).astype(np.float64), table.ravel()[key // width])
    order = np.argsort(p_value)
    p_value, through = p_value[order], np.cumsum(pair_counts[order])
    q_value = np.minimum.accumulate((p_value * pairs_tested / through)[::-1])[::-1]
    return _Classes(key[order], p_value, np.minimum(q_value, 1.0), through)


def _p_value(shared: Floats, expects: Floats) -> Floats:
    """Return P(Poisson(λ) ≥ |S|), which is the regularised lower incomplete gamma function of |S| and λ."""
    p_value: Floats = gammainc(np.maximum(shared, 1.0), expects)
    return np.where(shared > 0, p_value, 1.0)


def _q_value(p_value: Floats, classes: _Classes) -> Floats:
    """Return the q values of p values; 1 beyond the largest p of pairs that share a mint."""
    return np.append(classes.q_value, 1.0)[np.searchsorted(classes.p_value, p_value)]


def _shared_blocks(presence: csr_matrix) -> Iterator[tuple[int, Counts]]:
    """Count the mints that pairs of wallets share, in blocks of rows from `start` × all wallets from `start` on.

    Entries on and below the diagonal are 0. Popular mints would make the sparse product dense; a dense one counts them.
    """
    traded = np.bincount(presence.indices, minlength=presence.shape[1])
    ones = np.ones(presence.nnz, dtype=np.float32)
    every = csr_matrix((ones, presence.indices, presence.indptr), shape=presence.shape)
    order = np.argsort(-traded, kind="stable")
    many = min(MOST_POPULAR, int(np.count_nonzero(traded >= max(1.0, POPULAR_SHARE * presence.shape[0]))))
    popular = every[:, order[:many]].toarray()
    rest = every[:, order[many : np.count_nonzero(traded > 1)]]
    count, start = presence.shape[0], 0
    while start < count:
        stop = min(count, start + max(1, BLOCK_CELLS // (count - start)))
        counts = (rest[start:stop] @ rest[start:].T.tocsr()).toarray()
        counts += popular[start:stop] @ popular[start:].T
        square = counts[:, : stop - start]
        square[np.tril_indices(stop - start)] = 0
        yield start, counts
        start = stop
