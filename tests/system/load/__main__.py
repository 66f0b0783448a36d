"""`python -m tests.system.load [SECONDS]`: 300 browsers poll while 20 analyses run; then too many come at once.

Each browser has two analyses open.

The processes are those of the Procfile, on SQLite (`--scaled`: on PostgreSQL and Redis), on the machine that also runs
the browsers and the made-up chain. The exit code is 0 when the bounds were kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
import requests

from tasks.simulator.world.scenario import plain_scenario
from tasks.simulator.world.world import build_world
from tests.support import servers
from tests.support.waiting import HANG_S
from tests.system.chaos.supervisor import Supervisor, unit
from tests.system.load import browsers

BROWSERS, ANALYSES, WALLETS, TRANSACTIONS = 300, 20, 25, 300
CHAIN_PER_S = 200
"""Four times the default rate, so that reading goes on all the time and the workers are busy."""
SECONDS, WARM_S = 60.0, 8.0
CROWD, STORM_S = 600, 15.0
PAGES_MS, POLLS_MS, LONGEST_MS = 300.0, 100.0, 10_000.0


@contextlib.contextmanager
def program(folder: pathlib.Path, *, scaled: bool) -> Iterator[tuple[servers.Program, list[str]]]:
    """Run all processes, the made-up chain too; yield the program and the addresses that the chain has.

    Reading at the rate takes several minutes, so that the analyses run for as long as they are looked at.
    """
    scenario = plain_scenario(ANALYSES * WALLETS, TRANSACTIONS)
    chain = f"127.0.0.1:{servers.free_port()}"
    environ = {**servers.demo_environ(f"http://{chain}", 7), "WALLETKIN_SIMULATOR_BIND": chain}
    environ["WALLETKIN_RPC_REQUESTS_PER_S"] = str(CHAIN_PER_S)
    with contextlib.ExitStack() as stack:
        if scaled:
            environ["WALLETKIN_DATABASE_URL"] = stack.enter_context(servers.postgres_server(durable=True)).url
            environ["WALLETKIN_REDIS_URL"] = stack.enter_context(servers.redis_server(durable=True)).url
        running = servers.Program(folder, environ)
        units = [unit("web", servers.web_command(running.port), folder, running.environ)]
        for name in ("pipeline", "enrichment"):
            units.append(unit(name, ["walletkin", "worker", name], folder, running.environ))
        with_world = ["python", "-m", "tests.system.load.chain", chain, str(ANALYSES * WALLETS), str(TRANSACTIONS)]
        units.append(unit("chain", with_world, folder, running.environ))
        stack.enter_context(Supervisor(units, random.Random(1)).running())
        running.wait_until_ready()
        servers.wait_for_port(int(chain.rpartition(":")[2]))
        yield running, list(build_world(scenario).addresses)


def start_analyses(url: str, addresses: list[str]) -> list[str]:
    """Start analyses of wallets of their own; return their ids."""
    keys = []
    for number in range(ANALYSES):
        mine = addresses[number * WALLETS : (number + 1) * WALLETS]
        answer = requests.post(f"{url}/analyses", json={"wallets": [{"address": one} for one in mine]}, timeout=HANG_S)
        answer.raise_for_status()
        keys.append(str(answer.json()["id"]))
    return keys


def running_analyses(url: str, keys: list[str]) -> int:
    states = [requests.get(f"{url}/analyses/{key}.json", timeout=HANG_S).json()["state"] for key in keys]
    return sum(state not in ("complete", "failed", "cancelled") for state in states)


def spent_s() -> dict[str, float]:
    """Return the processor time taken so far by each part of the whole, in seconds."""
    spent = dict.fromkeys(("web", "workers", "chain"), 0.0) | {"browsers": sum(psutil.Process().cpu_times()[:2])}
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = " ".join(one.cmdline()[:4])
            part = "web" if "gunicorn" in words else "chain" if "tests.system.load.chain" in words else "workers"
            spent[part] += sum(one.cpu_times()[:2])
    return spent


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 when a bound was not kept."""
    scaled = "--scaled" in arguments
    seconds = next((float(word) for word in arguments if not word.startswith("-")), SECONDS)
    with (
        tempfile.TemporaryDirectory(prefix="walletkin-load-") as folder,
        program(pathlib.Path(folder), scaled=scaled) as (running, addresses),
    ):
        keys, chance = start_analyses(running.url, addresses), random.Random(2)
        asyncio.run(browsers.browse(running.url, keys, BROWSERS, WARM_S, chance))
        before, load = running_analyses(running.url, keys), os.getloadavg()[0]
        before_s, begun = spent_s(), time.monotonic()
        waits = asyncio.run(browsers.browse(running.url, keys, BROWSERS, seconds, chance))
        spent = {part: (at - before_s[part]) / (time.monotonic() - begun) for part, at in spent_s().items()}
        after = running_analyses(running.url, keys)
        stormy = asyncio.run(browsers.storm(running.url, keys, CROWD, STORM_S))
        time.sleep(2)
        calm = asyncio.run(browsers.browse(running.url, keys, 20, 5.0, chance))
    stores = "PostgreSQL and Redis" if scaled else "SQLite"
    print(f"{BROWSERS} browsers, two analyses each, {seconds:.0f} s on {os.cpu_count()} cores, {stores};")
    print(f"analyses running: {before} at the start, {after} at the end;")
    print(f"load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end")
    print(f"{waits.told('page')} (bound: p95 {PAGES_MS:.0f} ms)")
    print(f"{waits.told('poll')} (bound: p95 {POLLS_MS:.0f} ms)")
    print("cores used: " + ", ".join(f"{part} {cores:.2f}" for part, cores in spent.items()))
    print(f"answers {dict(waits.answers)}, errors {dict(waits.errors)}")
    print(f"past capacity, {CROWD} at once: {stormy.told('page')}; answers {dict(stormy.answers)},")
    print(f"errors {dict(stormy.errors)}; two seconds later {calm.told('page')}, errors {dict(calm.errors)}")
    kept = waits.percentile("page", 95) <= PAGES_MS and waits.percentile("poll", 95) <= POLLS_MS
    clean = not waits.errors and not set(waits.answers) - {"200", "286"} and not stormy.errors
    bounded = stormy.percentile("page", 100) <= LONGEST_MS and set(stormy.answers) <= {"200", "503"}
    return 0 if kept and clean and bounded else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
