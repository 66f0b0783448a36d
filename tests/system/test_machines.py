"""Several machines on one PostgreSQL and one Redis; here a machine is a data folder and a port of its own."""

from __future__ import annotations

import http.cookiejar
import json
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import plain_scenario
from tests.support import servers
from tests.support.waiting import HANG_S

WALLETS, TRANSACTIONS = 6, 60


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with Simulator(plain_scenario(WALLETS, TRANSACTIONS)) as simulator:
        yield simulator


class Browser:
    """Somebody with cookies, who may be sent from one machine to another by a load balancer."""

    def __init__(self) -> None:
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, url: str, body: object | None = None, *, accept: str = "application/json") -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, "Content-Type": "application/json"}
        try:
            with self._opener.open(urllib.request.Request(url, data, headers), timeout=HANG_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def ask_until(url: str, good: int) -> str:
    """Ask until the answer has the status hoped for; nothing else than "not just now" may come before."""
    end = time.monotonic() + HANG_S
    while True:
        try:
            status, text = Browser().ask(url)
        except OSError:
            status, text = 503, "no answer"
        if status == good:
            return text
        assert status == 503, text
        assert time.monotonic() < end, text
        time.sleep(0.2)


def complete(page: str) -> Any:
    end = time.monotonic() + HANG_S
    while (analysis := json.loads(ask_until(f"{page}.json", 200)))["state"] not in ("complete", "failed", "cancelled"):
        assert time.monotonic() < end, analysis["state"]
        time.sleep(0.1)
    return analysis


def start(url: str, chain: Simulator) -> str:
    body = {"wallets": [{"address": address} for address in chain.world.addresses[:WALLETS]]}
    status, text = Browser().ask(f"{url}/analyses", body)
    assert status == 202, text
    return str(json.loads(text)["id"])


def environ(chain: Simulator, **more: str) -> dict[str, str]:
    """What any installation has: where the chain is. What joins a machine to others comes in `more`."""
    given = {f"WALLETKIN_{name}": value for name, value in more.items()}
    return {**servers.demo_environ(chain.url, 7), "WALLETKIN_SYNC_TTL_S": "0", "WALLETKIN_TIMING": "fast", **given}


def test_a_second_machine_joins_by_two_settings(chain: Simulator, tmp_path: pathlib.Path, redis_url: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with servers.postgres_server() as postgres:
        joined = environ(chain, DATABASE_URL=postgres.url, REDIS_URL=redis_url)
        with (
            servers.program(first, joined, ("web",)) as one,
            servers.program(second, joined, ("web", "pipeline", "enrichment")) as other,
        ):
            key = start(one.url, chain)  # only the other machine has workers
            analysis = complete(f"{one.url}/analyses/{key}")
            assert analysis["state"] == "complete"
            there = json.loads(ask_until(f"{other.url}/analyses/{key}.json", 200))
            assert there["summary"] == analysis["summary"]
            check_cookies(one.url, other.url, chain)
    assert not (first / "secret_key").exists()
    assert not (first / "walletkin.db").exists()


def check_cookies(one: str, other: str, chain: Simulator) -> None:
    """What a browser started on one machine is its own on the other, and a form of one is good on the other."""
    browser = Browser()
    _, page = browser.ask(f"{one}/", accept="text/html")
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    text = "\n".join(chain.world.addresses[:2])
    form = urllib.parse.urlencode({"csrf_token": token, "addresses": text, "label": "of mine"}).encode()
    with browser._opener.open(urllib.request.Request(f"{other}/analyses", form), timeout=HANG_S) as answer:
        assert "/analyses/" in answer.url
    key = answer.url.rpartition("/")[2]
    assert key in browser.ask(f"{one}/", accept="text/html")[1]
    assert len(list(browser.cookies)) == 1


@pytest.mark.long
def test_a_database_that_went_away_and_came_back_is_used_again(chain: Simulator, tmp_path: pathlib.Path) -> None:
    with (
        servers.postgres_server(durable=True) as postgres,
        servers.redis_server(durable=True) as redis,
        servers.program(tmp_path, environ(chain, DATABASE_URL=postgres.url, REDIS_URL=redis.url)) as running,
    ):
        page = f"{running.url}/analyses/{start(running.url, chain)}"
        before = complete(page)
        postgres.kill()
        assert Browser().ask(f"{page}.json")[0] == 503
        postgres.start()
        # Every thread had a connection in the pool; none of them is answered with what was broken.
        assert [Browser().ask(f"{page}.json")[0] for _ in range(20)] == [200] * 20
        assert json.loads(Browser().ask(f"{page}.json")[1])["summary"] == before["summary"]
        assert complete(f"{running.url}/analyses/{start(running.url, chain)}")["state"] == "complete"


@pytest.mark.long
def test_what_is_asked_for_while_redis_is_away_is_done_when_it_is_back(
    chain: Simulator, tmp_path: pathlib.Path, postgres_url: str
) -> None:
    with (
        servers.postgres_server() as postgres,
        servers.redis_server(durable=True) as redis,
        servers.program(tmp_path, environ(chain, DATABASE_URL=postgres.url, REDIS_URL=redis.url)) as running,
    ):
        complete(f"{running.url}/analyses/{start(running.url, chain)}")
        redis.kill()
        key = start(running.url, chain)
        assert Browser().ask(f"{running.url}/analyses/{key}.json")[0] == 200
        redis.start()
        assert complete(f"{running.url}/analyses/{key}")["state"] == "complete"
