"""Throws hostile inputs at everything that reads what strangers send, and prints the figures: `make fuzz`.

Each target runs in a process of its own, whose memory is measured. Ends with 1 when anything went wrong: an exception
that is not the one meant for bad input, a status of 500, more than a second of the processor for one input, or more
than 200 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import psutil

from tests.support.servers import ROOT

SLOWEST_S, MOST_MB = 1.0, 200.0
OFFLINE = ("pasted lists", "files", "JSON wallets", "answers of a node", "DexScreener", "Jupiter", "page marks")
WITH_APP = ("queries", "forms", "JSON bodies")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.fuzz")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join((*OFFLINE, *WITH_APP))} (all when left out)")
    parser.add_argument("--inputs", type=int, default=110_000, help="how many in all (110000)")
    parser.add_argument("--seed", type=int, default=None, help="begin with this one, to have a run again")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    begin = random.randrange(1_000_000) if asked.seed is None else asked.seed
    if asked.child:
        print(json.dumps(_measure(asked.child, asked.inputs, begin)))
        return 0
    return _all(asked.names or [*OFFLINE, *WITH_APP], asked.inputs, begin)


def _all(names: list[str], inputs: int, begin: int) -> int:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; seed {begin}")
    print(f"{'target':<20}{'inputs':>9}{'slowest':>11}{'memory':>10}{'failures':>10}  {'slowest input'}")
    started, total, bad = time.monotonic(), 0, 0
    for name in names:
        found = _child(name, inputs, begin)
        total += found["inputs"]
        over = found["slowest_s"] > SLOWEST_S or found["memory_mb"] > MOST_MB
        bad += len(found["failures"]) + over
        told = f"{found['slowest_s']:>9.3f} s{found['memory_mb']:>7.0f} MB{len(found['failures']):>10}"
        print(f"{name:<20}{found['inputs']:>9,}{told}  {found['slowest']}{'  OVER' * over}", flush=True)
        for text in found["failures"][:3]:
            print(text)
    print(
        f"{total:,} inputs in {time.monotonic() - started:.0f} s, {bad} failures (bounds: 1 s of the processor, 200 MB)"
    )
    return 1 if bad else 0


def _child(name: str, inputs: int, begin: int) -> dict[str, Any]:
    """Run one target in a process of its own; one that dies is a failure."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("WALLETKIN_")}
    with tempfile.TemporaryDirectory(prefix="walletkin-fuzz-") as folder:
        command = [
            sys.executable,
            "-m",
            "tests.system.fuzz",
            "--child",
            name,
            "--inputs",
            str(inputs),
            "--seed",
            str(begin),
        ]
        made = environ | {"WALLETKIN_DATA_DIR": folder}
        done = subprocess.run(command, cwd=ROOT, env=made, capture_output=True, text=True)
    if done.returncode:
        died = [f"the process died with {done.returncode}: {done.stderr[-2000:]}"]
        return {"inputs": 0, "slowest_s": 0.0, "slowest": "", "memory_mb": 0.0, "failures": died}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _measure(name: str, inputs: int, begin: int) -> dict[str, Any]:
    from tests.system.fuzz import running, targets

    if name not in WITH_APP:
        return _figures(running.run, targets.offline()[name], inputs, begin)
    from tests.system.fuzz import pages, world

    with world.app(pathlib.Path(os.environ["WALLETKIN_DATA_DIR"])) as (app, known):
        return _figures(running.run, pages.targets(app, known)[name], inputs, begin)


def _figures(run: Any, target: Any, inputs: int, begin: int) -> dict[str, Any]:
    """Return the figures of a target with the memory that its inputs took beyond what the process had before."""
    run(target, 20, begin + 999_983)  # whatever is loaded at the first call
    before_mb = psutil.Process().memory_info().rss / 2**20
    found = run(target, max(1, inputs * target.share // 100), begin)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return vars(found) | {"memory_mb": peak_mb - before_mb}


if __name__ == "__main__":
    sys.exit(main())
