"""Which pairs of many wallets are kept: each wallet's best partners, every pair above a threshold, and named ones.

It ranks one similarity, given as dot products of sparse vectors, in blocks of rows and bounded memory; what the
measures of a pair are is `similarity`'s business. Section 3 of measures.md, "Which pairs are kept".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sparse_dot_topn import sp_matmul, sp_matmul_topn

from tasks.measures import arrays
from tasks.measures.arrays import Floats, Integers

RANK_DIGITS = 12
"""Scores are compared at this many decimals, so that rounding error neither breaks a tie nor misses a threshold."""
BLOCK_CELLS = 1_000_000
"""Scores of a block of rows that are held at once."""

"""Entries of rows that are looked at at once when pairs are measured one by one."""
THREADS = 2
SLACK, WIDEST = 49, 800
"""How many partners more than the best a row is asked for at first (itself and ties take places), and at most."""
WIDEN_ABOVE = 0.1
"""Following rows are asked for twice as many when more than this share of a block must be looked at again."""
UNKNOWN = -1.0
"""The score of a named pair that has none: worse than every score."""


@dataclass(frozen=True, slots=True)
class KeptPairs:
    """Kept pairs in no particular order: `first` < `second` are row numbers; `cut`: more deserved to be kept."""

    first: Integers
    second: Integers
    cut: bool


@dataclass(frozen=True, slots=True)
class _KeepRule:
    """Which scores are kept of a row: the `keep` best, and those of at least `threshold`."""

    keep: int
    threshold: float


@dataclass(frozen=True, slots=True)
class _Scores:
    """Some scores of some rows: `lines` number the rows within the block, `columns` are the partners."""

    lines: Integers
    columns: Integers
    values: Floats

    def where(self, mask: NDArray[np.bool_]) -> _Scores:
        return _Scores(self.lines[mask], self.columns[mask], self.values[mask])


def ranked(scores: Floats) -> Floats:
    """Round scores to the precision at which they are compared; NaN stays NaN."""
    return np.round(scores, RANK_DIGITS)


def best_pairs(
    vectors: csr_matrix, *, keep: int, threshold: float, most: int, also: tuple[Integers, Integers] | None = None
) -> KeptPairs:
    """Choose pairs of rows of `vectors` (wallets × columns, CSR, sorted indices, no value negative) by dot product.

    Kept is a pair with a positive score of which one is among the other's `keep` ≥ 1 best (ties: the smaller row
    number), or whose score is at least `threshold`, and every pair of `also` (two arrays of row numbers, first <
    second, each pair once); of all these the `most` best (ties: smaller row numbers). A row without entries is only
    in pairs of `also`, which then count as worst. Memory is bounded by `most`, `also` and `BLOCK_CELLS`, not by the
    number of pairs.
    """
    count = vectors.shape[0]
    pool = _Pool(most)
    for rows, scores in _chosen_scores(vectors, _KeepRule(keep, threshold)):
        left = rows[scores.lines]
        pool.add(np.minimum(left, scores.columns) * count + np.maximum(left, scores.columns), scores.values)
    pool.settle()
    if also is not None:
        _add_named(pool, vectors, *also)
    return KeptPairs(pool.keys // max(1, count), pool.keys % max(1, count), pool.cut)


def _chosen_scores(vectors: csr_matrix, rule: _KeepRule) -> Iterator[tuple[Integers, _Scores]]:
    """Give the rows of each block, and the scores among them that the rule keeps."""
    transposed, start, width = vectors.T.tocsr(), 0, rule.keep + 1 + SLACK
    while start < vectors.shape[0]:
        rows = np.arange(start, min(start + max(1, BLOCK_CELLS // width), vectors.shape[0]))
        scores, limits, again = _top(vectors, transposed, rows, rule, width)
        yield rows, _chosen(scores.where(~again[scores.lines]), limits, rule)
        yield from _all_scores(vectors, transposed, rows[again], limits[again], rule)
        if np.count_nonzero(again) > WIDEN_ABOVE * len(rows):
            width = max(width, min(2 * width, WIDEST))
        start += len(rows)


def _top(
    vectors: csr_matrix, transposed: csr_matrix, rows: Integers, rule: _KeepRule, width: int
) -> tuple[_Scores, Floats, NDArray[np.bool_]]:
    """Give the `width` largest scores of each row, its `keep`-th best (0 without), and whether it must be seen whole.

    That is so when something left out may be as good as the `keep`-th or as the threshold: what is left out is at
    most the smallest score given, which only a row with all its places taken has left out.
    """
    block = vectors[rows[0] : rows[-1] + 1]
    top = sp_matmul_topn(block, transposed, top_n=width, threshold=0.0, n_threads=THREADS)
    lengths = np.diff(top.indptr)
    places = np.arange(width) < lengths[:, None]
    table = np.zeros(places.shape)
    table[places] = ranked(top.data[: top.indptr[-1]])
    least = np.where(lengths == width, table.min(axis=1), 0.0)
    scores = _scores(top, rows, table[places])
    table[places] = scores.values
    limits = np.partition(table, width - rule.keep, axis=1)[:, width - rule.keep]
    return scores, limits, (least > 0) & (least >= np.minimum(limits, rule.threshold))


def _all_scores(
    vectors: csr_matrix, transposed: csr_matrix, rows: Integers, limits: Floats, rule: _KeepRule
) -> Iterator[tuple[Integers, _Scores]]:
    """Choose from all scores of some rows whose `keep`-th best is known."""
    height = max(1, BLOCK_CELLS // max(1, vectors.shape[0]))
    for start in range(0, len(rows), height):
        part, limit = rows[start : start + height], limits[start : start + height]
        product = sp_matmul(vectors[part], transposed, n_threads=THREADS)
        yield part, _chosen(_scores(product, part, ranked(product.data[: product.indptr[-1]])), limit, rule)


def _scores(product: csr_matrix, rows: Integers, values: Floats) -> _Scores:
    """List the scores of a product of the rows with all rows; what a row scores with itself becomes 0."""
    lines = np.repeat(np.arange(len(rows)), np.diff(product.indptr))
    columns = product.indices[: len(lines)].astype(np.int64)
    return _Scores(lines, columns, np.where(columns == rows[lines], 0.0, values))


def _chosen(scores: _Scores, limits: Floats, rule: _KeepRule) -> _Scores:
    """Choose what is kept of each line: better than its limit or at the threshold, and what ties have room for."""
    of_line = limits[scores.lines]
    better = scores.values > of_line
    equal = (scores.values == of_line) & (of_line > 0) & (of_line < rule.threshold)
    room = rule.keep - np.bincount(scores.lines[better], minlength=len(limits))
    ties = np.flatnonzero(equal)
    ties = ties[np.lexsort((scores.columns[ties], scores.lines[ties]))]
    lines = scores.lines[ties]
    nth = np.arange(len(ties)) - np.searchsorted(lines, lines)
    better[ties[nth < room[lines]]] = True
    better |= (scores.values >= rule.threshold) & (scores.values > 0)
    return scores.where(better)


def _add_named(pool: _Pool, vectors: csr_matrix, first: Integers, second: Integers) -> None:
    """Take in pairs whatever their score; those already there have theirs."""
    new = ~np.isin(first * vectors.shape[0] + second, pool.keys)
    first, second = first[new], second[new]
    sizes, numbers = np.diff(vectors.indptr), arrays.numbered(vectors)
    for batch in arrays.batches(np.minimum(sizes[first], sizes[second]), BLOCK_CELLS):
        a, b = first[batch], second[batch]
        pair, at_a, at_b = arrays.shared_entries(numbers, a, b)
        products = vectors.data[at_a] * vectors.data[at_b]
        scores = np.bincount(pair, weights=products, minlength=len(a)).astype(np.float64)
        known = np.minimum(sizes[a], sizes[b]) > 0
        pool.add(a * vectors.shape[0] + b, np.where(known, ranked(scores), UNKNOWN))
    pool.settle()


class _Pool:
    """Pairs found so far, as keys with scores, thrown out beyond the `most` best whenever that many are waiting."""

    def __init__(self, most: int):
        self.most = most
        self.cut = False
        self.keys: Integers = np.zeros(0, dtype=np.int64)
        self.scores: Floats = np.zeros(0, dtype=np.float64)
        self._waiting: list[tuple[Integers, Floats]] = []
        self._worst: tuple[Any, Any] | None = None

    def add(self, keys: Integers, scores: Floats) -> None:
        """Take in the pairs of one block; a pair may come twice, with the same score."""
        if self._worst is not None:
            score, key = self._worst
            fits = (scores > score) | ((scores == score) & (keys <= key))
            keys, scores = keys[fits], scores[fits]
        self._waiting.append((keys, scores))
        if sum(len(block) for block, _ in self._waiting) > self.most:
            self.settle()

    def settle(self) -> None:
        """Merge what is waiting, each pair once, and cut to the best."""
        keys = np.concatenate([self.keys, *(block for block, _ in self._waiting)])
        scores = np.concatenate([self.scores, *(block for _, block in self._waiting)])
        self._waiting.clear()
        self.keys, found = np.unique(keys, return_index=True)
        self.scores = scores[found]
        if len(self.keys) > self.most:
            self.cut = True
            order = np.lexsort((self.keys, -self.scores))[: self.most]
            self.keys, self.scores = self.keys[order], self.scores[order]
            self._worst = self.scores[-1], self.keys[-1]
