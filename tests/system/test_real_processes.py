"""The whole system in processes of its own, spoken to over HTTP: it completes, and a killed worker loses nothing."""

from __future__ import annotations

import json
import pathlib
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import plain_scenario
from tests.support import servers
from tests.support.waiting import HANG_S, until

WALLETS, TRANSACTIONS = 8, 300


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with Simulator(plain_scenario(WALLETS, TRANSACTIONS)) as simulator:
        yield simulator


def ask(url: str, body: object | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        return json.load(answer)


def post(running: servers.Program, chain: Simulator) -> str:
    wallets = [{"address": address} for address in chain.world.addresses[:WALLETS]]
    return f"{running.url}/analyses/{ask(f'{running.url}/analyses', {'wallets': wallets})['id']}"


def wait(page: str) -> Any:
    """Wait for the end of an analysis; return what it says then."""
    until(lambda: ask(f"{page}.json")["state"] in ("complete", "failed", "cancelled"), "the end of the analysis")
    return ask(f"{page}.json")


def evidence(page: str, chain: Simulator) -> Any:
    """Return all that the analysis says which should not depend on how it came about."""
    addresses = chain.world.addresses[:WALLETS]
    audits = {address: ask(f"{page}/wallets/{address}/capital.json") for address in addresses}
    for audit in audits.values():
        del audit["provenance"]  # names the analysis, and when it was made
    return audits, ask(f"{page}/pairs.json?limit=200")["pairs"]


def environ(chain: Simulator, **more: str) -> dict[str, str]:
    values = {"SOLANA_RPC_URL": chain.url, "RPC_REQUESTS_PER_S": "100000", "SYNC_TTL_S": "0", "TIMING": "fast"} | more
    return {f"WALLETKIN_{name}": value for name, value in values.items()}


@pytest.fixture(scope="module")
def undisturbed(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Any:
    chain.set_faults(latency_ms=0)
    with servers.program(tmp_path_factory.mktemp("undisturbed"), environ(chain)) as running:
        page = post(running, chain)
        analysis = wait(page)
        assert analysis["state"] == "complete"
        assert {wallet["state"] for wallet in analysis["wallets"]} == {"synced"}
        return evidence(page, chain)


def test_a_worker_killed_in_the_middle_of_a_sync_changes_nothing(
    chain: Simulator, undisturbed: Any, tmp_path: pathlib.Path
) -> None:
    chain.set_faults(latency_ms=150)
    with servers.program(tmp_path, environ(chain)) as running:
        page = post(running, chain)
        for _ in range(3):
            time.sleep(0.7)
            running.kill("pipeline")
            assert ask(f"{page}.json")["state"] in ("syncing", "provisional")
            running.start("pipeline")
        chain.set_faults(latency_ms=0)
        assert wait(page)["state"] == "complete"
        assert evidence(page, chain) == undisturbed
        jobs = ask(f"{running.url}/activity.json")["jobs"]
        assert {job["state"] for job in jobs if job["kind"] != "enrich"} <= {"succeeded", "cancelled"}


def test_on_redis_and_postgresql_the_result_is_the_same(
    chain: Simulator, undisturbed: Any, tmp_path: pathlib.Path, redis_url: str, postgres_url: str
) -> None:
    chain.set_faults(latency_ms=20)
    with servers.program(tmp_path, environ(chain, DATABASE_URL=postgres_url, REDIS_URL=redis_url)) as running:
        page = post(running, chain)
        time.sleep(0.4)
        running.kill("pipeline")
        running.start("pipeline")
        assert wait(page)["state"] == "complete"
        assert evidence(page, chain) == undisturbed


def test_a_worker_told_to_stop_hands_its_work_back(chain: Simulator, undisturbed: Any, tmp_path: pathlib.Path) -> None:
    chain.set_faults(latency_ms=100)
    with servers.program(tmp_path, environ(chain)) as running:
        page = post(running, chain)
        time.sleep(0.6)
        running.kill("pipeline", 15)
        running.start("pipeline")
        chain.set_faults(latency_ms=0)
        assert wait(page)["state"] == "complete"
        assert evidence(page, chain) == undisturbed
