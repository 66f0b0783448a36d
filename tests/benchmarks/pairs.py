"""Compares a made-up crowd and prints how long it took, as JSON: `python -m tests.benchmarks.pairs WALLETS`."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time

import numpy as np

from tasks.analysis import similarity

MINTS, TRADED, RUNS = 50_000, 60, 3


def _draw(random: np.random.Generator, popularity: np.ndarray) -> np.ndarray:
    """Draw the mints of one wallet: the earliest of exponential times, which is a draw without replacement."""
    return np.argpartition(random.exponential(size=MINTS) / popularity, TRADED)[:TRADED].copy()


def crowd(wallets: int) -> similarity.World:
    """Build wallets that trade 60 of 50,000 mints each, popular ones more (Zipf 1.1)."""
    random = np.random.default_rng(7)
    popularity = 1 / np.arange(1, MINTS + 1) ** 1.1
    chosen = [_draw(random, popularity) for _ in range(wallets)]
    weight = random.lognormal(size=(wallets, TRADED))
    weight /= weight.sum(axis=1, keepdims=True)
    return similarity.build_world(
        np.repeat(np.arange(wallets), TRADED), np.concatenate(chosen), weight.ravel(),
        wallet_count=wallets, mint_count=MINTS,
    )  # fmt: skip


if __name__ == "__main__":
    world, seconds = crowd(int(sys.argv[1])), []
    for _ in range(RUNS):
        started = time.perf_counter()
        found = similarity.compare(world)
        seconds.append(time.perf_counter() - started)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": statistics.median(seconds), "pairs": len(found), "peak_mb": peak_mb}))
