"""The scriptable market says what it is told, records what it was asked, and hides no mistake of a test's."""

from __future__ import annotations

import json
import threading
import time

import pytest
import requests

from tasks.measures.well_known import WSOL
from tests.support.stub_market import Reply, StubMarket, all_known, dex_pair, jupiter_entry
from tests.support.waiting import HANG_S, until

PAIRS, SEARCH = "/tokens/v1/solana/", "/tokens/v2/search"


def test_both_routes_are_answered_and_recorded() -> None:
    before = time.monotonic()
    with StubMarket(all_known) as market:
        pairs = requests.get(f"{market.url}{PAIRS}a,b", timeout=HANG_S).json()
        entries = requests.get(market.url + SEARCH, params={"query": "c,d"}, timeout=HANG_S).json()
    assert [pair["baseToken"]["address"] for pair in pairs] == ["a", "b"]
    assert [entry["id"] for entry in entries] == ["c", "d"]
    assert [asked[1:] for asked in market.requests] == [("dexscreener", ("a", "b")), ("jupiter", ("c", "d"))]
    assert before <= market.requests[0][0] <= market.requests[1][0] <= time.monotonic()
    assert market.mints("jupiter") == [("c", "d")]


def test_status_body_and_headers_are_the_tests_own() -> None:
    with StubMarket(lambda service, mints: (429, b"slow down", {"Retry-After": "3"})) as market:
        answer = requests.get(f"{market.url}{PAIRS}a", timeout=HANG_S)
    assert (answer.status_code, answer.content, answer.headers["Retry-After"]) == (429, b"slow down", "3")


def test_a_length_that_is_not_kept_breaks_the_answer_off() -> None:
    with (
        StubMarket(lambda service, mints: (200, b"[1, 2", {"Content-Length": "500"})) as market,
        pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)),
    ):
        requests.get(f"{market.url}{PAIRS}a", timeout=HANG_S)


def test_any_other_route_is_unknown_and_not_recorded() -> None:
    with StubMarket(all_known) as market:
        assert requests.get(f"{market.url}/price/v3?ids=a", timeout=HANG_S).status_code == 404
    assert market.requests == []


def test_what_the_answer_raises_ends_the_test() -> None:
    def refuse(service: str, mints: tuple[str, ...]) -> Reply:
        raise LookupError("not this mint")

    status = 0
    with pytest.raises(LookupError, match="not this mint"), StubMarket(refuse) as market:
        status = requests.get(f"{market.url}{PAIRS}a", timeout=HANG_S).status_code
    assert status == 500


def test_an_answer_is_late_and_the_end_of_the_block_does_not_wait_for_it() -> None:
    bodies: list[bytes] = []
    with StubMarket(all_known, latency_s=100_000) as market:
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{market.url}{PAIRS}a", timeout=0.2)
        asking = threading.Thread(target=lambda: bodies.append(requests.get(market.url + PAIRS + "b").content))
        asking.start()
        until(lambda: len(market.requests) == 2, "both requests to be read")
    asking.join(HANG_S)
    assert [json.loads(body)[0]["baseToken"]["address"] for body in bodies] == ["b"]


def test_the_latency_can_be_taken_away() -> None:
    with StubMarket(all_known, latency_s=100_000) as market:
        market.latency_s = 0
        assert requests.get(f"{market.url}{PAIRS}a", timeout=HANG_S).status_code == 200


def test_many_ask_at_once() -> None:
    with StubMarket(all_known) as market:
        asking = [
            threading.Thread(target=requests.get, args=(f"{market.url}{PAIRS}{number}",), kwargs={"timeout": HANG_S})
            for number in range(40)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert sorted(market.mints("dexscreener")) == sorted((str(number),) for number in range(40))


def test_pairs_and_entries_take_what_a_test_gives_them() -> None:
    pair = dex_pair("m", symbol="S", price="0.1", liquidity=None, chainId="base")
    assert pair["baseToken"] == {"address": "m", "name": "S token", "symbol": "S"}
    assert (pair["quoteToken"]["address"], pair["priceUsd"], pair["chainId"]) == (WSOL, "0.1", "base")
    assert pair["liquidity"] == {"usd": None}
    entry = jupiter_entry("m", price=float("nan"), icon="https://example.com/a.png")
    assert "NaN" in json.dumps(entry)
    assert (entry["id"], entry["symbol"], entry["icon"]) == ("m", "X", "https://example.com/a.png")
