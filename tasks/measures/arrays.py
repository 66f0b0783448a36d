"""Array helpers that the measures share: positions of ids, entries of sparse rows, batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BATCH_ENTRIES = 1_000_000


def numbered(matrix: csr_matrix) -> csr_matrix:
    """Make a matrix of the same form, indices sorted, whose stored values are the numbers of its entries from 1."""
    return csr_matrix((np.arange(1, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape)


def values_at(matrix: csr_matrix, rows: Integers, columns: Integers) -> NDArray[Any]:
    """Look up values of a matrix, given as two equally long arrays of places; 0 where nothing is stored."""
    # Without a place to look at, scipy answers with another type.
    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.zeros(0, dtype=matrix.dtype)


def shared_entries(numbers: csr_matrix, first: Integers, second: Integers) -> tuple[Integers, Integers, Integers]:
    """Find the columns that both rows of each pair have, in a matrix made by `numbered`.

    Gives three equally long arrays, ordered by pair and column: which pair, and at which place the entry is stored of
    its first and of its second row. Takes memory for the entries of the smaller row of every pair; see `batches`.
    """
    sizes = np.diff(numbers.indptr).astype(np.int64)
    swap = sizes[first] < sizes[second]
    smaller, larger = np.where(swap, first, second), np.where(swap, second, first)
    lengths = sizes[smaller]
    pair = np.repeat(np.arange(len(first)), lengths)
    place = np.arange(len(pair)) + (numbers.indptr[smaller] - np.cumsum(lengths) + lengths)[pair]
    found = values_at(numbers, larger[pair], numbers.indices[place])
    both = found > 0
    pair, place, found = pair[both], place[both], found[both] - 1
    swapped = swap[pair]
    return pair, np.where(swapped, place, found), np.where(swapped, found, place)


def batches(entries: Integers, most: int) -> list[slice]:
    """Cut pairs into runs of at most `most` pairs, and of about `BATCH_ENTRIES` entries, given those of each pair."""
    work = np.cumsum(np.maximum(entries, -(-BATCH_ENTRIES // most))) // BATCH_ENTRIES
    ends = [*(np.flatnonzero(np.diff(work)) + 1).tolist(), len(entries)]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
