"""Which pairs of many wallets are kept: each wallet's best partners, every pair above a threshold, and named pairs.

Section 3 of docs/measures.md, "Which pairs are kept". Ranks one similarity, given as dot products of sparse vectors, in
blocks of rows and bounded memory.
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
"""Scores of a block of rows that memory holds at once."""
THREADS = 2
SLACK, WIDEST = 49, 800
"""Extra partners requested for a row at first, for itself and ties; and the most partners requested."""
WIDEN_ABOVE = 0.1
"""The number doubles for the following rows when more than this share of a block needs all its scores."""
UNKNOWN = -1.0
"""The score of a named pair without one: worse than every score."""


@dataclass(frozen=True, slots=True)
class KeptPairs:
    """Kept pairs in no particular order: `first` < `second` are row numbers; `cut`: more pairs qualified."""

    first: Integers
    second: Integers
    cut: bool


@dataclass(frozen=True, slots=True)
class _KeepRule:
    """Which scores of a row are kept: the `keep` best, and those of at least `threshold`."""

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
    """Round scores to the precision of comparisons; NaN stays NaN."""
    return np.round(scores, RANK_DIGITS)


def best_pairs(
    vectors: csr_matrix, *, keep: int, threshold: float, most: int, also: tuple[Integers, Integers] | None = None
) -> KeptPairs:
    """Select pairs of rows of `vectors` (wallets × columns, CSR, sorted indices, no negative value) by dot product.

    Kept are the pairs with a positive score in which one is among the other's `keep` ≥ 1 best (ties: the smaller row
    number) or the score is at least `threshold`, and every pair of `also` (two arrays of row numbers, first < second,
    each pair once); of all these the `most` best (ties: smaller row numbers). A row without entries is only in pairs
    of `also`, which rank last. Memory is bounded by `most`, `also` and `BLOCK_CELLS`, not by the number of pairs. No
    row gives no pair.
    """
    count = vectors.shape[0]
    best = _BestPairs(most)
    for rows, scores in _selected_scores(vectors, _KeepRule(keep, threshold)):
        left = rows[scores.lines]
        best.add(np.minimum(left, scores.columns) * count + np.maximum(left, scores.columns), scores.values)
    best.finalise()
    if also is not None:
        _add_named(best, vectors, *also)
    return KeptPairs(best.keys // max(1, count), best.keys % max(1, count), best.cut)


def _selected_scores(vectors: csr_matrix, rule: _KeepRule) -> Iterator[tuple[Integers, _Scores]]:
    """Yield the rows of each block, and the scores among them that the rule keeps."""
    transposed, start, width = vectors.T.tocsr(), 0, rule.keep + 1 + SLACK
    while start < vectors.shape[0]:
        rows = np.arange(start, min(start + max(1, BLOCK_CELLS // width), vectors.shape[0]))
        scores, limits, again = _top(vectors, transposed, rows, rule, width)
        yield rows, _select(scores.where(~again[scores.lines]), limits, rule)
        yield from _all_scores(vectors, transposed, rows[again], limits[again], rule)
        if np.count_nonzero(again) > WIDEN_ABOVE * len(rows):
            width = max(width, min(2 * width, WIDEST))
        start += len(rows)


def _top(
    vectors: csr_matrix, transposed: csr_matrix, rows: Integers, rule: _KeepRule, width: int
) -> tuple[_Scores, Floats, NDArray[np.bool_]]:
    """Return the `width` largest scores of each row, its `keep`-th best (0 without), and whether it needs all scores.

    It does when a score beyond these may be as good as the `keep`-th or the threshold. Only a row with `width` scores
    has more, and they are at most its smallest one here.
    """
    block = vectors[rows[0] : rows[-1] + 1]
    top = sp_matmul_topn(block, transposed, top_n=width, threshold=0.0, n_threads=THREADS)
    lengths = np.diff(top.indptr)
    filled = np.arange(width) < lengths[:, None]
    table = np.zeros(filled.shape)
    table[filled] = ranked(top.data[: top.indptr[-1]])
    least = np.where(lengths == width, table.min(axis=1), 0.0)
    scores = _scores(top, rows, table[filled])
    table[filled] = scores.values
    limits = np.partition(table, width - rule.keep, axis=1)[:, width - rule.keep]
    return scores, limits, (least > 0) & (least >= np.minimum(limits, rule.threshold))


def _all_scores(
    vectors: csr_matrix, transposed: csr_matrix, rows: Integers, limits: Floats, rule: _KeepRule
) -> Iterator[tuple[Integers, _Scores]]:
    """Select from all scores of some rows whose `keep`-th best is known."""
    height = max(1, BLOCK_CELLS // max(1, vectors.shape[0]))
    for start in range(0, len(rows), height):
        part, limit = rows[start : start + height], limits[start : start + height]
        product = sp_matmul(vectors[part], transposed, n_threads=THREADS)
        yield part, _select(_scores(product, part, ranked(product.data[: product.indptr[-1]])), limit, rule)


def _scores(product: csr_matrix, rows: Integers, values: Floats) -> _Scores:
    """List the scores of a product of the rows with all rows; the score of a row with itself becomes 0."""
    lines = np.repeat(np.arange(len(rows)), np.diff(product.indptr))
    columns = product.indices[: len(lines)].astype(np.int64)
    return _Scores(lines, columns, np.where(columns == rows[lines], 0.0, values))


def _select(scores: _Scores, limits: Floats, rule: _KeepRule) -> _Scores:
    """Select the scores of each line above its limit or at the threshold, and ties as far as there is room."""
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


def _add_named(best: _BestPairs, vectors: csr_matrix, first: Integers, second: Integers) -> None:
    """Add pairs whatever their score; those already there keep theirs."""
    new = ~np.isin(first * vectors.shape[0] + second, best.keys)
    first, second = first[new], second[new]
    sizes, numbers = np.diff(vectors.indptr), arrays.numbered(vectors)
    for batch in arrays.batches(np.minimum(sizes[first], sizes[second]), BLOCK_CELLS):
        a, b = first[batch], second[batch]
        pair, at_a, at_b = arrays.shared_entries(numbers, a, b)
        products = vectors.data[at_a] * vectors.data[at_b]
        scores = np.bincount(pair, weights=products, minlength=len(a)).astype(np.float64)
        known = np.minimum(sizes[a], sizes[b]) > 0
        best.add(a * vectors.shape[0] + b, np.where(known, ranked(scores), UNKNOWN))
    best.finalise()


class _BestPairs:
    """The `most` best pairs so far, as keys with scores; new ones are merged once `most` are waiting."""

    def __init__(self, most: int):
        self.most = most
        self.cut = False
        self.keys: Integers = np.zeros(0, dtype=np.int64)
        self.scores: Floats = np.zeros(0, dtype=np.float64)
        self._waiting: list[tuple[Integers, Floats]] = []
        self._worst: tuple[Any, Any] | None = None

    def add(self, keys: Integers, scores: Floats) -> None:
        """Add the pairs of one block; a pair may come twice, with the same score."""
        if self._worst is not None:
            score, key = self._worst
            fits = (scores > score) | ((scores == score) & (keys <= key))
            keys, scores = keys[fits], scores[fits]
        self._waiting.append((keys, scores))
        if sum(len(block) for block, _ in self._waiting) > self.most:
            self.finalise()

    def finalise(self) -> None:
        """Merge the waiting pairs, each once, and drop all beyond the best."""
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
