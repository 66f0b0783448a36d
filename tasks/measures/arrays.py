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
    """Return a matrix of the same form, indices sorted, whose stored values number its entries from 1."""
    return csr_matrix((np.arange(1, matrix.nnz + 1), matrix.indices, matrix.indptr), shape=matrix.shape)


def values_at(matrix: csr_matrix, rows: Integers, columns: Integers) -> NDArray[Any]:
    """Return the values at some positions of a matrix, two equally long arrays; 0 where nothing is stored."""
    # Without a position scipy returns another type.
    return np.asarray(matrix[rows, columns]).ravel() if len(rows) else np.zeros(0, dtype=matrix.dtype)


def shared_entries(numbers: csr_matrix, first: Integers, second: Integers) -> tuple[Integers, Integers, Integers]:
    """Find the columns that both rows of each pair have, in a matrix made by `numbered`.

    Returns three equally long arrays, ordered by pair and column: the pair, and the positions of the entries of its
    first and second row. Needs memory for the entries of the smaller row of every pair; see `batches`.
    """
    sizes = np.diff(numbers.indptr).astype(np.int64)
    swap = sizes[first] < sizes[second]
    smaller, larger = np.where(swap, first, second), np.where(swap, second, first)
    lengths = sizes[smaller]
    pair = np.repeat(np.arange(len(first)), lengths)
    position = np.arange(len(pair)) + (numbers.indptr[smaller] - np.cumsum(lengths) + lengths)[pair]
    found = values_at(numbers, larger[pair], numbers.indices[position])
    both = found > 0
    pair, position, found = pair[both], position[both], found[both] - 1
    swapped = swap[pair]
    return pair, np.where(swapped, position, found), np.where(swapped, found, position)


def batches(entries: Integers, most: int) -> list[slice]:
    """Split pairs into runs of at most `most` pairs and about `BATCH_ENTRIES` entries, given the entries of each."""
    work = np.cumsum(np.maximum(entries, -(-BATCH_ENTRIES // most))) // BATCH_ENTRIES
    ends = [*(np.flatnonzero(np.diff(work)) + 1).tolist(), len(entries)]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
