"""Serves a plain made-up chain: `python -m tests.benchmarks.chain WALLETS TRANSACTIONS LATENCY_MS PORT`."""

from __future__ import annotations

import sys

from tasks.simulator.faults import Faults
from tasks.simulator.server import serve
from tasks.simulator.world.scenario import plain_scenario

if __name__ == "__main__":
    wallets, transactions, latency_ms, port = map(int, sys.argv[1:])
    serve("127.0.0.1", port, plain_scenario(wallets, transactions, end_at=1_795_000_000), Faults(latency_ms=latency_ms))
