"""A made-up chain in a process of its own: `python -m tests.system.load.chain HOST:PORT WALLETS TRANSACTIONS`."""

from __future__ import annotations

import sys

from tasks.simulator import server
from tasks.simulator.faults import Faults
from tasks.simulator.world.scenario import plain_scenario

if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    scenario = plain_scenario(int(sys.argv[2]), int(sys.argv[3]))
    server.serve(host, int(port), scenario, Faults(market_latency_ms=250), announce=print)
