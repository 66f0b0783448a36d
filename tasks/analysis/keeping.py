"""Which pairs of many wallets are kept: each wallet's best partners and every pair above a threshold.

It ranks one similarity, given as dot products of sparse vectors, in blocks of rows and bounded memory; what the
measures of a pair are is `similarity`'s business. Section 3 of measures.md, "Which pairs are kept".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RANK_DIGITS = 12
"""Scores are compared at this many decimals, so that rounding error neither breaks a tie nor misses a threshold."""
BLOCK_CELLS = 2_000_000
"""Cells of a block of rows × wallets that are held as a dense array at once."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept pairs in no particular order: `first` < `second` are row numbers; `cut`: more deserved to be kept."""

    first: Integers
    second: Integers
    cut: bool


def ranked(scores: Floats) -> Floats:
    """Round scores to the precision at which they are compared; NaN stays NaN."""
    return np.round(scores, RANK_DIGITS)


def best_pairs(vectors: csr_matrix, *, keep: int, threshold: float, most: int) -> Kept:
    """Choose pairs of rows of `vectors` (wallets × columns, CSR) by their dot product.

    Kept is a pair with a positive score of which one is among the other's `keep` ≥ 1 best (ties: the smaller row
    number), or whose score is at least `threshold`; of all these the `most` best (ties: smaller row numbers). Rows
    without entries are in no pair. Memory is bounded by `most` and `BLOCK_CELLS`, not by the number of pairs.
    """
    count = vectors.shape[0]
    transposed = vectors.T.tocsr()
    pool = _Pool(most)
    height = max(1, BLOCK_CELLS // max(1, count))
    for start in range(0, count, height):
        scores = ranked((vectors[start : start + height] @ transposed).toarray())
        rows, columns = np.nonzero(_wanted(scores, start, keep, threshold))
        left, right = rows + start, columns
        pool.add(np.minimum(left, right) * count + np.maximum(left, right), scores[rows, columns])
    pool.settle()
    return Kept(pool.keys // max(1, count), pool.keys % max(1, count), pool.cut)


def _wanted(scores: Floats, start: int, keep: int, threshold: float) -> NDArray[np.bool_]:
    """Mark in a block (rows from `start` × all wallets) what is kept; changes the diagonal of `scores` to 0."""
    rows = np.arange(len(scores))
    scores[rows, rows + start] = 0.0
    later = np.arange(scores.shape[1]) > (rows + start)[:, None]
    above: NDArray[np.bool_] = later & (scores >= threshold)
    above |= _best(scores, keep)
    above &= scores > 0
    return above


def _best(scores: Floats, keep: int) -> NDArray[np.bool_]:
    """Mark the `keep` largest of every row; of equal ones the leftmost."""
    width = scores.shape[1]
    if width <= keep:
        return np.ones(scores.shape, dtype=np.bool_)
    limit = np.partition(scores, width - keep, axis=1)[:, width - keep, None]
    better, equal = scores > limit, scores == limit
    room = keep - better.sum(axis=1, keepdims=True)
    better |= equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room)
    return better


class _Pool:
    """Pairs found so far, as keys with scores, thrown out beyond the `most` best whenever that many are waiting."""

    def __init__(self, most: int):
        self.most = most
        self.cut = False
        self.keys: Integers = np.zeros(0, dtype=np.int64)
        self.scores: Floats = np.zeros(0, dtype=np.float64)
        self._waiting: list[tuple[Integers, Floats]] = []

    def add(self, keys: Integers, scores: Floats) -> None:
        """Take in the pairs of one block; a pair may come twice, with the same score."""
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
