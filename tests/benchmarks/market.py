"""Serves a made-up market: `python -m tests.benchmarks.market TOKENS PORT [switch=value …]`."""

from __future__ import annotations

import sys

from tasks.simulator.faults import faults_from_arguments
from tasks.simulator.server import serve
from tasks.simulator.world.scenario import market_scenario

if __name__ == "__main__":
    tokens, port, *switches = sys.argv[1:]
    serve("127.0.0.1", int(port), market_scenario(int(tokens)), faults_from_arguments(switches))
