"""One result: a system is used and killed for some time, and judged; then the same is done without the killing."""

from __future__ import annotations

import pathlib
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import plain_scenario
from tests.system.chaos import checks
from tests.system.chaos.load_clients import LoadClients
from tests.system.chaos.services import System, system

WALLETS, TRANSACTIONS, WALLETS_A_LIST = 400, 160, 6
LATENCY_MS = 150
SETTLE_S = 420
"""A lease runs for one minute and is looked for every minute, twice if a stage's child had it."""

Found = tuple[dict[int, Any], list[Any], list[Any]]
"""What the analyses say by list, what some say when run again, and how many rows each wallet has."""


@dataclass
class ChaosRun:
    """What a result came to; `wrong` is empty when nothing was lost."""

    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    analyses: int = 0
    refreshes: int = 0
    compared: int = 0
    jobs: int = 0
    lost_leases: int = 0
    seconds: float = 0.0
    settled_s: float = 0.0
    tracebacks: int = 0
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Say it in a few lines."""
        lines = [
            f"{sum(self.kills.values())} kills in {self.seconds:.0f} s: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items())),
            f"{self.analyses} analyses accepted, {self.compared} compared with undisturbed ones, {self.refreshes} "
            f"refreshes, {self.jobs} jobs, {self.lost_leases} leases lost and taken up again",
            "answers: " + ", ".join(f"{status} × {count:,}" for status, count in sorted(self.answers.items())),
            f"all was done {self.settled_s:.0f} s after the last kill; {self.tracebacks} tracebacks in the logs",
            *(f"WRONG: {sentence}" for sentence in self.wrong),
        ]
        return "\n".join(lines if self.wrong else [*lines, "nothing was lost, doubled or stuck"])


def run(seconds: float, kills: int, *, scaled: bool, seed: int = 1, keep: pathlib.Path | None = None) -> ChaosRun:
    """Kill a system so often in so many seconds, evenly but at random, and judge it."""
    chance, result = random.Random(seed), ChaosRun(seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="walletkin-chaos-") as temporary:
        folder = keep or pathlib.Path(temporary)
        with Simulator(plain_scenario(WALLETS, TRANSACTIONS)) as chain:
            lists = [chance.sample(chain.world.addresses[:WALLETS], WALLETS_A_LIST) for _ in range(int(seconds / 3))]
            chain.set_faults(latency_ms=LATENCY_MS)
            with system(folder / "disturbed", chain.url, chance, scaled=scaled) as running:
                clients = LoadClients(running.url, lists, chance)
                _disturb(running, clients, result, kills, chance)
                found = _judge(running, clients, result)
                result.tracebacks = running.logged().count("Traceback (most recent call last)")
            chain.set_faults(latency_ms=0)
            with system(folder / "undisturbed", chain.url, chance, scaled=False) as running:
                calm = LoadClients(running.url, lists, chance)
                _compare(running, calm, clients, result, found)
    return result


def _disturb(running: System, clients: LoadClients, result: ChaosRun, kills: int, chance: random.Random) -> None:
    threads = clients.at_work(analyses_every_s=3.0, refreshes_every_s=5.0)
    names = [unit.name for unit in running.supervisor.units]
    begun = time.monotonic()
    for number in range(kills):
        at = begun + result.seconds * (number + chance.random()) / kills
        time.sleep(max(0.0, at - time.monotonic()))
        running.supervisor.kill(chance.choice(names))
    time.sleep(max(0.0, begun + result.seconds - time.monotonic()))
    clients.over.set()
    for thread in threads:
        thread.join()
    result.kills = running.supervisor.kills


def _judge(running: System, clients: LoadClients, result: ChaosRun) -> Found:
    """Wait for the end of all work and look for what is wrong; return what the analyses and the records say."""
    begun = time.monotonic()
    time.sleep(3)  # for the last one that was killed
    left = checks.settle(running, clients, SETTLE_S)
    result.settled_s = time.monotonic() - begun
    result.wrong += [f"{count} {what}" for what, count in left.items()] + checks.judge(running, clients)
    result.wrong += clients.strange + [repr(fault) for fault in running.supervisor.faults]
    result.answers, result.analyses, result.refreshes = clients.answers, len(clients.accepted), len(clients.refreshes)
    ((result.jobs, lost),) = running.query("SELECT count(*), sum(lost_leases) FROM job")
    result.lost_leases = int(lost or 0)
    return checks.all_evidence(clients), checks.evidence_again(clients), running.query(checks.MOVEMENTS)


def _compare(running: System, calm: LoadClients, clients: LoadClients, result: ChaosRun, found: Found) -> None:
    for number in clients.accepted:
        calm.accepted[number] = calm.post(number)
    result.wrong += [f"undisturbed: {count} {what}" for what, count in checks.settle(running, calm, SETTLE_S).items()]
    analyses, again, movements = found
    calm_analyses = checks.all_evidence(calm)
    for number, was in analyses.items():
        result.compared += 1
        if was != calm_analyses[number]:
            result.wrong.append(f"the analysis of list {number} differs from the one made undisturbed")
    if again != checks.evidence_again(calm):
        result.wrong.append("analyses run again on what was stored differ from those run undisturbed")
    if movements != running.query(checks.MOVEMENTS):
        result.wrong.append("the rows of some wallets are not those read undisturbed")
