"""Every fault of the simulator, and its counts of requests."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tasks.simulator.faults import Faults
from tasks.simulator.server import Simulator
from tasks.simulator.state import Bucket, SimulatorState
from tasks.simulator.world.wallets import failing_address
from tests.support.waiting import HANG_S, until

Call = Callable[..., Any]
Post = Callable[[Any], requests.Response]
HEALTH = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
V1 = {"maxSupportedTransactionVersion": 1}


def _any_signature(simulator: Simulator) -> str:
    return simulator.world.signature(simulator.world.events(simulator.world.addresses[0])[4])


def _batch(size: int) -> list[dict[str, Any]]:
    return [HEALTH | {"id": number} for number in range(size)]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_next_requests_fail_and_then_no_more(simulator: Simulator, post: Post, status: int) -> None:
    simulator.set_faults(fail_status=status, fail_next=2)
    answers = [post(HEALTH) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert ("Retry-After" in answers[0].headers) == (status == 429)


def test_a_fraction_fails_the_same_way_for_the_same_seed() -> None:
    def draw() -> list[bool]:
        state = SimulatorState(Faults(fail_fraction=0.3), seed=5)
        return [state.happens("fail", "rpc") for _ in range(400)]

    assert draw() == draw()
    assert 80 < sum(draw()) < 160


def test_faults_hit_only_their_target(simulator: Simulator, post: Post) -> None:
    simulator.set_faults(target="dexscreener", fail_fraction=1.0)
    assert post(HEALTH).status_code == 200
    assert requests.get(f"{simulator.url}/tokens/v1/solana/x", timeout=HANG_S).status_code == 503
    assert requests.get(f"{simulator.url}/price/v3?ids=x", timeout=HANG_S).status_code == 200


def test_a_bucket_refills_at_its_rate() -> None:
    bucket = Bucket()
    assert [bucket.wait_s(2, now_s=0.0) for _ in range(2)] == [0, 0]
    assert bucket.wait_s(2, now_s=0.1) == pytest.approx(0.4)
    assert bucket.wait_s(2, now_s=0.5) == 0


def test_each_market_service_has_its_own_rate_limit(simulator: Simulator) -> None:
    simulator.set_faults(market_requests_per_s=0.001)
    for path in ("/tokens/v1/solana/x", "/price/v3?ids=x"):
        assert requests.get(simulator.url + path, timeout=HANG_S).status_code == 200
        refused = requests.get(simulator.url + path, timeout=HANG_S)
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)


def test_a_connection_breaks_in_the_middle_of_an_answer(simulator: Simulator, post: Post) -> None:
    simulator.set_faults(drop_next=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        post(HEALTH)
    assert post(HEALTH).json()["result"] == "ok"
    assert simulator.stats()["statuses"] == {"0": 1, "200": 1}


def test_answers_are_garbled(simulator: Simulator, post: Post) -> None:
    simulator.set_faults(garble="half", garble_next=1)
    half = post(_batch(3))
    assert half.status_code == 200
    with pytest.raises(ValueError, match="Expecting|Unterminated|Invalid"):
        half.json()
    simulator.set_faults(garble="html", garble_next=1)
    assert "<title>" in post(HEALTH).text
    simulator.set_faults(garble="object", garble_next=1)
    assert post(_batch(3)).json()["error"]["code"] == 429
    assert post(HEALTH).json()["result"] == "ok"


def test_a_lagging_node_answers_null_first(simulator: Simulator, call: Call) -> None:
    simulator.set_faults(null_first=2)
    signature = _any_signature(simulator)
    answers = [call("getTransaction", signature, V1) for _ in range(3)]
    assert answers[:2] == [None, None]
    assert answers[2]["transaction"]["signatures"][0] == signature


def test_batches_come_back_shuffled(simulator: Simulator, post: Post) -> None:
    simulator.set_faults(shuffle_batches=True)
    numbers = [answer["id"] for answer in post(_batch(30)).json()]
    assert numbers != list(range(30))
    assert sorted(numbers) == list(range(30))


@pytest.mark.parametrize("status", [403, 413])
def test_batches_are_refused_and_single_calls_are_not(simulator: Simulator, post: Post, status: int) -> None:
    simulator.set_faults(batch_refusal=status)
    assert post(_batch(2)).status_code == status
    assert post(HEALTH).status_code == 200


def test_only_large_batches_are_refused(simulator: Simulator, post: Post) -> None:
    simulator.set_faults(max_batch=5)
    assert post(_batch(6)).status_code == 413
    assert len(post(_batch(5)).json()) == 5


def test_chosen_addresses_fail_for_ever(simulator: Simulator, call: Call, post: Post) -> None:
    first, second = simulator.world.addresses[:2]
    before = simulator.state.faults.failing_addresses
    assert call("getSignaturesForAddress", failing_address(simulator.world.scenario))["code"] == -32602
    simulator.set_faults(failing_addresses={first: "invalid", second: "throttled"})
    try:
        assert call("getSignaturesForAddress", first)["code"] == -32602
        request = HEALTH | {"method": "getBalance", "params": [second]}
        assert post(request).status_code == 429
        assert post([request]).json()[0]["error"]["code"] == -32429
    finally:
        simulator.set_faults(failing_addresses=before)


def test_a_method_can_be_missing(simulator: Simulator, call: Call) -> None:
    simulator.set_faults(unavailable_methods=["getBalance"])
    assert call("getBalance", simulator.world.addresses[0])["code"] == -32601
    assert call("getHealth") == "ok"


def test_the_newest_can_be_hidden_and_then_happen(simulator: Simulator, call: Call) -> None:
    address = simulator.world.addresses[0]
    every = call("getSignaturesForAddress", address)
    simulator.set_faults(hide_newest=5)
    assert call("getSignaturesForAddress", address) == every[5:]
    simulator.set_faults(hide_newest=0)
    assert call("getSignaturesForAddress", address, {"until": every[5]["signature"]}) == every[:5]


def test_counts_tell_requests_calls_and_repeats(simulator: Simulator, post: Post) -> None:
    signature = _any_signature(simulator)
    ask = {"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, V1]}
    post([ask, ask | {"id": 2}, HEALTH])
    requests.get(f"{simulator.url}/tokens/v1/solana/a,b", timeout=HANG_S)
    stats = requests.get(f"{simulator.url}/_stats", timeout=HANG_S).json()
    assert stats["http"] == 2
    assert stats["services"] == {"rpc": 1, "dexscreener": 1}
    assert stats["methods"] == {"getTransaction": 2, "getHealth": 1}
    assert (stats["transactions"], stats["distinct_transactions"]) == (2, 1)


def test_counts_tell_what_each_market_was_asked_and_how_often(simulator: Simulator) -> None:
    for path in ("/tokens/v1/solana/a,b", "/tokens/v1/solana/a", "/tokens/v2/search?query=a,c", "/price/v3?ids=c"):
        requests.get(simulator.url + path, timeout=HANG_S)
    stats = simulator.stats()
    assert stats["mints_by_service"] == {"dexscreener": 3, "jupiter": 3}
    assert stats["largest_mint_count"] == {"dexscreener": 2, "jupiter": 2}
    simulator.state.reset_stats()
    assert simulator.stats()["largest_mint_count"] == {}


def test_a_market_is_slow_and_the_chain_is_not() -> None:
    state = SimulatorState(Faults(latency_ms=5, market_latency_ms=250), seed=1)
    slow = {service: state.latency_s(service) for service in ("rpc", "dexscreener", "jupiter", "logos")}
    assert slow == {"rpc": 0.005, "dexscreener": 0.255, "jupiter": 0.255, "logos": 0.005}


def test_an_answer_is_held_back(simulator: Simulator) -> None:
    simulator.set_faults(target="dexscreener", hang_s=100_000, hang_fraction=1.0)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{simulator.url}/tokens/v1/solana/a", timeout=0.2)
    until(lambda: simulator.stats()["mints_by_service"] == {"dexscreener": 1}, "the request to be read")
    simulator.set_faults(hang_fraction=0.0)
    assert requests.get(f"{simulator.url}/tokens/v1/solana/a", timeout=HANG_S).json() == []


def test_stopping_does_not_wait_for_an_answer_that_is_held_back(simulator: Simulator) -> None:
    held: list[Exception] = []
    other = Simulator(simulator.world.scenario, Faults(hang_s=100_000, hang_fraction=1.0)).start()

    def ask() -> None:
        try:
            requests.get(f"{other.url}/tokens/v1/solana/a", timeout=HANG_S)
        except requests.ConnectionError as error:
            held.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: other.stats()["mints_by_service"], "the request to be read")
    other.stop()
    asking.join(HANG_S)
    assert len(held) == 1


def connected(simulator: Simulator) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(simulator.url.rsplit(":", 1)[1])), timeout=HANG_S)


def test_a_connection_is_kept_alive(simulator: Simulator) -> None:
    with connected(simulator) as connection:
        for _ in range(2):
            connection.sendall(b"GET /_stats HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_a_body_without_length_or_too_long_is_refused(simulator: Simulator) -> None:
    for length, status in ((b"", b"411"), (b"Content-Length: 99999999\r\n", b"413")):
        with socket.create_connection(
            ("127.0.0.1", int(simulator.url.rsplit(":", 1)[1])), timeout=HANG_S
        ) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n")
            assert connection.recv(65_536).split(b" ")[1] == status


def test_a_taken_port_is_an_error_and_stopping_ends_connections(simulator: Simulator) -> None:
    port = int(simulator.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"):
        Simulator(simulator.world.scenario, port=port)
    other = Simulator(simulator.world.scenario).start()
    with requests.Session() as session:
        assert session.get(f"{other.url}/_stats", timeout=HANG_S).status_code == 200
        other.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(f"{other.url}/_stats", timeout=HANG_S)
    other.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    code = (
        "from tasks.simulator.server import serve; serve('127.0.0.1', 0, announce=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.post(url, json=HEALTH, timeout=HANG_S).json()["result"] == "ok"
        process.send_signal(number)
        assert process.wait(timeout=HANG_S) == 0
