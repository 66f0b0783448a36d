"""Real processes, watched as an operator watches them: what they log, what the probes and Prometheus are told."""

from __future__ import annotations

import json
import pathlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import plain_scenario
from tests.support import servers
from tests.support.waiting import HANG_S, until

WALLETS = 4
API_KEY = "an-api-key-123456"
NAMES = ("web", "pipeline", "enrichment")


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with Simulator(plain_scenario(WALLETS, 60)) as simulator:
        yield simulator


@pytest.fixture(params=["embedded", "scaled out"])
def running(request: pytest.FixtureRequest, chain: Simulator, tmp_path: pathlib.Path) -> Iterator[servers.Program]:
    values = {
        "SOLANA_RPC_URL": f"{chain.url}/?api-key={API_KEY}", "DEXSCREENER_URL": chain.url, "JUPITER_URL": chain.url,
        "RPC_REQUESTS_PER_S": "100000", "LOG_LEVEL": "debug",
    }  # fmt: skip
    if request.param == "scaled out":
        values["DATABASE_URL"] = request.getfixturevalue("fresh_postgres")
        values["REDIS_URL"] = request.getfixturevalue("redis_url")
    with servers.program(tmp_path, {f"WALLETKIN_{name}": value for name, value in values.items()}, NAMES) as program:
        yield program


@pytest.fixture
def fresh_postgres() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


def ask(url: str, body: object | None = None, accept: str = "application/json") -> tuple[int, str, Any]:
    """Return the status, the text and the headers of an answer, whatever its status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", "Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=HANG_S) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def ready(running: servers.Program) -> dict[str, Any]:
    return dict(json.loads(ask(f"{running.url}/readyz")[1]))


def test_what_real_processes_tell_of_themselves(running: servers.Program, chain: Simulator) -> None:
    until(lambda: ready(running)["status"] == "ok", "both workers to be heard of")
    wallets = [{"address": address} for address in [*chain.world.addresses[:WALLETS], "1" * 32]]
    status, text, headers = ask(f"{running.url}/analyses", {"wallets": wallets})
    assert status == 202
    key = json.loads(text)["id"]
    page = f"{running.url}/analyses/{key}"
    until(lambda: json.loads(ask(f"{page}.json")[1])["state"] == "complete", "the analysis")
    assert ask(f"{running.url}/analyses/{'0' * 32}")[0] == 404

    status, metrics, _ = ask(f"{running.url}/metrics")
    assert status == 200
    assert 'walletkin_request_seconds_count{endpoint="analyses.create",method="POST",status="2xx"} 1.0' in metrics
    for role in NAMES:
        assert f'walletkin_processes{{role="{role}"}} 1.0' in metrics

    running.kill("pipeline", 15)
    until(lambda: not ready(running)["checks"]["pipeline"], "the end of a worker to be known")
    assert ask(f"{running.url}/readyz")[0] == 503
    # What the worker had counted it has written down at its end.
    assert 'walletkin_source_calls_total{outcome="answered",source="solana"}' in ask(f"{running.url}/metrics")[1]
    running.start("pipeline")
    until(lambda: ready(running)["status"] == "ok", "the new worker")

    running.stop()
    lines = {name: [json.loads(line) for line in running.log(name).splitlines()] for name in NAMES}
    posted = [line for line in lines["web"] if line["message"] == "request" and line["method"] == "POST"]
    assert [(line["endpoint"], line["request_id"]) for line in posted] == [("analyses.create", headers["X-Request-ID"])]
    assert all(line["request_id"] for line in lines["web"] if line["message"] == "request")
    worked = [line for line in lines["pipeline"] if line["message"] == "slice started"]
    assert {line["kind"] for line in worked} >= {"sync", "similarity"}
    assert set(json.loads(text)["jobs"]) <= {line["job_id"] for line in worked}
    assert {line["queue"] for line in worked} == {"pipeline"}
    written = "".join(running.log(name) for name in NAMES)
    assert key not in written
    assert "0" * 32 not in written
    assert API_KEY not in written


def test_an_analysis_that_was_running_at_the_backup_is_completed_after_the_restore(
    chain: Simulator, tmp_path: pathlib.Path
) -> None:
    environ = {
        "WALLETKIN_SOLANA_RPC_URL": chain.url, "WALLETKIN_RPC_REQUESTS_PER_S": "100000", "WALLETKIN_SYNC_TTL_S": "0"
    }  # fmt: skip
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    wallets = [{"address": address} for address in chain.world.addresses[:WALLETS]]
    chain.set_faults(latency_ms=1_500)
    with servers.program(before, environ, ("web", "pipeline")) as first:
        key = json.loads(ask(f"{first.url}/analyses", {"wallets": wallets})[1])["id"]
        until(lambda: json.loads(ask(f"{first.url}/activity.json?state=running")[1])["jobs"] != [], "a job to begin")
        command = ["walletkin", "backup", str(after / "walletkin.db")]
        subprocess.run(command, cwd=servers.ROOT, env=first.environ, check=True, capture_output=True, timeout=HANG_S)
        assert json.loads(ask(f"{first.url}/analyses/{key}.json")[1])["state"] == "syncing"
        first.stop()
    chain.set_faults(latency_ms=0)
    with servers.program(after, environ, ("web", "pipeline")) as second:
        page = f"{second.url}/analyses/{key}.json"
        until(lambda: json.loads(ask(page)[1])["state"] == "complete", "the analysis")
        analysis = json.loads(ask(page)[1])
    assert [wallet["state"] for wallet in analysis["wallets"]] == ["synced"] * WALLETS
