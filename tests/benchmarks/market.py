"""Serves a made-up market: `python -m tests.benchmarks.market TOKENS PORT [FAULT=NUMBER …]`."""

from __future__ import annotations

import sys

from tasks.simulator.faults import Faults
from tasks.simulator.server import serve
from tasks.simulator.world.scenario import market_scenario

if __name__ == "__main__":
    tokens, port, *arguments = sys.argv[1:]
    faults = {name: float(value) for name, _, value in (argument.partition("=") for argument in arguments)}
    serve("127.0.0.1", int(port), market_scenario(int(tokens)), Faults(**faults))  # type: ignore[arg-type]  # all are numbers
