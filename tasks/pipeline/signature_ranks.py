"""Replaces signatures by their ranks, which order trades within a slot and take less memory than the text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.measures.arrays import Integers

WORD = 8  # bytes of a signature that are compared at once


def ranks(signatures: NDArray[np.bytes_]) -> Integers:
    """Return the rank of each signature (byte strings) among those given; equal ones have equal ranks.

    Compares eight bytes at a time, and only signatures that are equal so far: many times faster than sorting strings.
    """
    width = -(-signatures.dtype.itemsize // WORD)
    words = signatures.astype(f"S{width * WORD}", copy=False).view(">u8").reshape(len(signatures), width)
    rank = np.zeros(len(signatures), dtype=np.int64)
    tied = np.arange(len(signatures))
    for word in range(width):
        values = words[tied, word].astype(np.uint64)
        order = np.lexsort((values, rank[tied]))
        tied, values = tied[order], values[order]
        before = rank[tied]
        opens = np.ones(len(tied) + 1, dtype=np.bool_)
        opens[1:-1] = (np.diff(before) != 0) | (values[1:] != values[:-1])
        group = np.cumsum(opens[:-1]) - 1
        starts = np.flatnonzero(opens)
        of_before = np.searchsorted(before, before)
        rank[tied] = before + starts[group] - of_before
        tied = tied[np.diff(starts)[group] > 1]
        if not len(tied):
            break
    return rank
