"""Compares a made-up crowd and prints how long it took, as JSON: `python -m tests.benchmarks.pairs WALLETS`.

The pair kernel is measured beside the bare product that it is built on, in turns.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sparse_dot_topn import sp_matmul_topn

from tasks.measures import similarity
from tasks.measures.pair_selection import KeptPairs, best_pairs

MINTS, TRADED, RUNS = 50_000, 60, 3


def _draw(random: np.random.Generator, popularity: np.ndarray) -> np.ndarray:
    """Draw the mints of one wallet: the earliest of exponential times, which is a draw without replacement."""
    return np.argpartition(random.exponential(size=MINTS) / popularity, TRADED)[:TRADED].copy()


def crowd(wallets: int) -> similarity.PortfolioMatrix:
    """Build wallets that trade 60 of 50,000 mints each, popular ones more (Zipf 1.1)."""
    random = np.random.default_rng(7)
    popularity = 1 / np.arange(1, MINTS + 1) ** 1.1
    chosen = [_draw(random, popularity) for _ in range(wallets)]
    weight = random.lognormal(size=(wallets, TRADED))
    weight /= weight.sum(axis=1, keepdims=True)
    return similarity.build_portfolios(
        np.repeat(np.arange(wallets), TRADED), np.concatenate(chosen), weight.ravel(),
        wallet_count=wallets, mint_count=MINTS,
    )  # fmt: skip


def figures(wallets: int) -> dict[str, float]:
    """Measure the whole comparison, then its kernel and what that is built on in turns; medians."""
    world = crowd(wallets)
    comparing = [_clocked(lambda: similarity.compare(world)) for _ in range(RUNS)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found, vectors = similarity.compare(world), similarity.overall_vectors(world)
    turns = [(_clocked(lambda: _kernel(vectors)), _clocked(lambda: _bare(vectors))) for _ in range(RUNS)]
    kernel, bare = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "seconds": statistics.median(comparing),
        "pairs": len(found),
        "peak_mb": peak_mb,
        "kernel_seconds": kernel,
        "bare_seconds": bare,
    }


def _kernel(vectors: csr_matrix) -> KeptPairs:
    return best_pairs(vectors, keep=50, threshold=0.3, most=1_000_000)


def _bare(vectors: csr_matrix) -> csr_matrix:
    """What the kernel is held against: the 51 best of every row, without ties, threshold or diagonal put right."""
    return sp_matmul_topn(vectors, vectors.T, top_n=51, threshold=0.0, n_threads=2)


def _clocked(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]))))
