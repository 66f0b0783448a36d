"""Faults of an RPC service (`tasks/sources/solana/`): retries, what is learnt from them, the final error."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from typing import Any

import pytest

from tasks.errors import SourceError
from tasks.measures.transaction import Transaction
from tasks.sources.solana.client import SolanaClient
from tasks.sources.solana.endpoint import Capabilities, connection_for
from tasks.sources.solana.parse import SignatureInfo
from tests.support.scripted_service import (
    KEY,
    WALLET,
    Answer,
    Connect,
    FakeClock,
    Node,
    ScriptedService,
    result,
    transaction,
)
from tests.support.scripted_service import error as rpc_error

THROTTLED = Answer({}, 429)


def infos(count: int) -> list[SignatureInfo]:
    return [SignatureInfo(f"sig{number}", 7, 3, 1_790_000_000, False) for number in range(count)]


def fault(client: SolanaClient, count: int = 3) -> SourceError:
    with pytest.raises(SourceError) as caught:
        client.transactions(infos(count))
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


def sizes(service: ScriptedService) -> list[int]:
    """Return the number of calls in each request; 0 for a call outside a batch."""
    return [len(request.json) if isinstance(request.json, list) else 0 for request in service.requests]


def all_there(found: dict[str, Any]) -> bool:
    return all(isinstance(item, Transaction) for item in found.values())


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (THROTTLED, "the RPC service answered 429 four times"),
        (Answer({}, 503), "the RPC service answered 503 four times"),
        (Answer(drop=True), "the RPC service dropped the connection four times"),
        (Answer([], missing=9), "the RPC service dropped the connection four times"),
        (Answer(b"<html>", headers={"Content-Type": "text/html"}), "not JSON (text/html) four times"),
        (Answer(b'[{"id": 1, "resu'), "not JSON, or only with a part of it four times"),
        (Answer("hello"), "not JSON-RPC four times"),
        (Answer(rpc_error(None, -32005, "Node is behind")), "error -32005 (Node is behind) four times"),
        (Answer(rpc_error(None, -32429, "batch rate limit")), "error -32429 (batch rate limit) four times"),
        (Answer(rpc_error(None, -32600, "50/second limit, too many requests")), "too many requests) four times"),
        (Answer({"error": "Too many requests"}), "an error (Too many requests) four times"),
        (Answer(rpc_error(None, -32603, "Internal error")), "error -32603 (Internal error) four times"),
    ],
)
def test_a_temporary_fault_is_tried_four_times(
    connect: Connect, service: ScriptedService, clock: FakeClock, answer: Answer, text: str
) -> None:
    service.default = lambda request: answer
    error = fault(connect())
    assert not error.permanent
    assert str(error).endswith(text)
    assert sizes(service) == [3] * 4
    assert clock.slept == pytest.approx([0.5] * 7)  # 0.5 s, 1 s and 2 s in slices


def test_the_wait_between_tries_is_capped_and_random(
    connect: Connect, service: ScriptedService, clock: FakeClock
) -> None:
    service.default = lambda request: THROTTLED
    object.__setattr__(clock.clock, "chance", lambda: 0.0)
    fault(connect())
    assert sum(clock.slept) < 0.02, "only the pace of the rate"


@pytest.mark.parametrize(
    "answer", [THROTTLED, Answer({}, 500), Answer(drop=True), Answer(b"<html>"), Answer([1], missing=5)]
)
def test_it_recovers_from_a_temporary_fault(
    connect: Connect, node: Node, service: ScriptedService, answer: Answer
) -> None:
    service.answers += [answer]
    assert all_there(connect().transactions(infos(3)))
    assert sizes(service) == [3, 3]


def test_different_faults_are_not_counted_as_one(connect: Connect, service: ScriptedService) -> None:
    service.answers += [THROTTLED, THROTTLED, Answer({}, 503), Answer({}, 502)]
    assert str(fault(connect())) == "the RPC service answered 502, when tried four times"


def test_it_keeps_a_requested_pause(connect: Connect, node: Node, service: ScriptedService, clock: FakeClock) -> None:
    service.answers += [Answer({}, 429, {"Retry-After": "7"})]
    start = clock.now()
    assert all_there(connect().transactions(infos(3)))
    assert clock.now() - start == pytest.approx(7)


def test_it_does_not_wait_for_a_long_pause(
    connect: Connect, node: Node, service: ScriptedService, clock: FakeClock
) -> None:
    service.answers += [Answer({}, 429, {"Retry-After": "60"})]
    error = fault(connect())
    assert (error.retry_after_s, error.permanent) == (60, False)
    assert str(error) == "the RPC service answered 429"
    clock.time += 20
    other = fault(connect())  # the pause holds for all clients of the endpoint
    assert other.retry_after_s == pytest.approx(40)
    assert str(other) == "the RPC service asked for a pause"
    assert len(service.requests) == 1
    clock.time += 35
    assert all_there(connect().transactions(infos(3)))


def test_a_blocked_client_gives_up_at_once(connect: Connect, service: ScriptedService) -> None:
    service.default = lambda request: Answer({}, 403)
    client = connect()
    error = fault(client)
    assert error.permanent
    assert "blocked" in str(error)
    assert sizes(service) == [3, 0]  # the single call shows that it is not about batches
    assert client.capabilities.batch_size is None


def test_a_wrong_key_gives_up_at_once(connect: Connect, service: ScriptedService) -> None:
    service.default = lambda request: Answer(rpc_error(None, -32401, f"invalid api key {KEY}"), 401)
    assert fault(connect()).permanent
    assert sizes(service) == [3]


def test_the_services_message_is_shown_without_the_key(connect: Connect, service: ScriptedService) -> None:
    service.default = lambda request: Answer(rpc_error(1, -32401, f"bad\nkey {KEY} " + "x" * 500))
    error = connect().transactions(infos(1))["sig0"]
    assert isinstance(error, SourceError)
    assert str(error).startswith("the RPC service answered error -32401 (bad key … xxx")
    assert len(str(error)) < 210


@pytest.mark.parametrize("code", [-32004, -32005, -32014, -32016, -32019, -32603, -32000, 429, None])
def test_a_temporary_error_of_one_call_is_retried_alone(
    connect: Connect, node: Node, service: ScriptedService, code: int | None
) -> None:
    node.item = lambda call: rpc_error(call["id"], code) if call["params"][0] in ("sig1", "sig3") else None
    found = connect().transactions(infos(5))
    assert [isinstance(item, Transaction) for item in found.values()] == [True, False, True, False, True]
    assert sizes(service) == [5, 2, 2, 2]
    error = found["sig1"]
    assert isinstance(error, SourceError)
    assert not error.permanent
    assert str(error).endswith("(no) four times")


@pytest.mark.parametrize("code", [-32602, -32007, -32009, -32011, -32601])
def test_a_permanent_error_of_one_call_is_not_retried(
    connect: Connect, node: Node, service: ScriptedService, code: int
) -> None:
    node.item = lambda call: rpc_error(call["id"], code) if call["params"][0] == "sig1" else None
    found = connect().transactions(infos(3))
    assert isinstance(found["sig1"], SourceError)
    assert found["sig1"].permanent
    assert isinstance(found["sig2"], Transaction)
    assert sizes(service) == [3]


def test_a_code_that_means_something_else_may_be_a_throttle(connect: Connect, node: Node) -> None:
    node.item = lambda call: rpc_error(call["id"], -32007, "50/second limit: reduce calls per second")
    assert not fault(connect(), 1).permanent


def test_a_missing_transaction_is_temporary_and_not_retried(
    connect: Connect, node: Node, service: ScriptedService
) -> None:
    node.results["getTransaction"] = lambda params: None if params[0] == "sig1" else transaction(params[0])
    found = connect().transactions(infos(3))
    assert isinstance(found["sig1"], SourceError)
    assert not found["sig1"].permanent
    assert "does not see" in str(found["sig1"])
    assert sizes(service) == [3]


def test_a_malformed_transaction_fails_alone(connect: Connect, node: Node) -> None:
    node.results["getTransaction"] = lambda params: {} if params[0] == "sig1" else transaction(params[0])
    found = connect().transactions(infos(3))
    assert [isinstance(item, Transaction) for item in found.values()] == [True, False, True]


def test_a_call_without_an_answer_is_retried(connect: Connect, node: Node, service: ScriptedService) -> None:
    service.answers += [Answer([result(1, transaction("sig0")), result(3, transaction("sig2"))])]
    assert all_there(connect().transactions(infos(3)))
    assert sizes(service) == [3, 0]


def test_a_later_fault_keeps_earlier_results(connect: Connect, service: ScriptedService) -> None:
    service.answers += [
        Answer([result(1, transaction("sig0")), rpc_error(2, -32005), rpc_error(3, -32005)]),
        Answer({}, 429, {"Retry-After": "60"}),
    ]
    found = connect().transactions(infos(3))
    assert isinstance(found["sig0"], Transaction)
    assert isinstance(found["sig2"], SourceError)
    assert found["sig2"].retry_after_s == 60


def test_too_large_a_batch_is_halved_and_remembered(connect: Connect, node: Node, service: ScriptedService) -> None:
    node.whole = lambda payload: Answer(b"", 413) if isinstance(payload, list) and len(payload) > 30 else None
    learnt_values: list[int | None] = []
    client = connect(on_learnt=lambda learnt: learnt_values.append(learnt.batch_size))
    assert all_there(client.transactions(infos(100)))
    assert sizes(service) == [100, 50, 25, 25, 25, 25]
    assert learnt_values == [50, 25]
    assert client.batch_size == 25


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(rpc_error(None, -32600, "Batch size is limited to 10")),
        Answer(rpc_error(None, -32602, "too many requests in the batch: maximum 10"), 400),
        Answer(rpc_error(None, -32000, "batch too large"), 403),
    ],
)
def test_an_error_about_size_halves_a_batch(
    connect: Connect, node: Node, service: ScriptedService, refusal: Answer
) -> None:
    node.whole = lambda payload: refusal if isinstance(payload, list) and len(payload) > 10 else None
    client = connect()
    assert all_there(client.transactions(infos(16)))
    assert sizes(service) == [16, 8, 8]
    assert client.capabilities.batch_size == 8


def test_an_answer_over_the_cap_halves_a_batch(connect: Connect, node: Node, service: ScriptedService) -> None:
    size = 20_000
    node.results["getTransaction"] = lambda params: transaction(params[0]) | {"fat": "x" * size}
    assert all_there(connect(max_bytes=5 * size).transactions(infos(8)))
    assert sizes(service) == [8, 4, 4]


def test_halving_ends_with_single_calls(connect: Connect, node: Node, service: ScriptedService) -> None:
    node.whole = lambda payload: Answer(b"", 413) if isinstance(payload, list) else None
    assert all_there(connect().transactions(infos(4)))
    assert sizes(service) == [4, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(b"", 400),
        Answer(b"", 403),
        Answer(b"", 404),
        Answer(b"", 405),
        Answer(rpc_error(None, -32600, "Invalid request")),
        Answer(rpc_error(None, -32601, "Method not found")),
        Answer(rpc_error(None, -32603, "Batch requests are not supported")),
        Answer(rpc_error(None, -32403, "Batch requests are only for paid plans"), 403),
        Answer(result(None, None)),
    ],
)
def test_refused_batches_become_single_calls(
    connect: Connect, node: Node, service: ScriptedService, refusal: Answer
) -> None:
    node.whole = lambda payload: refusal if isinstance(payload, list) else None
    learnt_values: list[dict[str, object]] = []
    client = connect(on_learnt=lambda learnt: learnt_values.append(asdict(learnt)))
    assert all_there(client.transactions(infos(3)))
    assert sizes(service) == [3, 0, 0, 0]
    assert learnt_values == [{"batch_size": 1, "has_history": None, "transaction_version": None}]
    client.transactions(infos(2))
    assert sizes(service)[4:] == [0, 0]


def test_a_dead_service_ends_single_calls_early(connect: Connect, service: ScriptedService) -> None:
    service.answers += [Answer(result(1, transaction("sig0")))]
    service.default = lambda request: Answer({}, 503)
    found = connect(capabilities=Capabilities(batch_size=1)).transactions(infos(50))
    assert isinstance(found["sig0"], Transaction)
    assert str(found["sig49"]) == "the RPC service answered 503 four times"
    assert len(service.requests) == 5


def test_single_calls_fail_alone(connect: Connect, node: Node) -> None:
    node.item = lambda call: rpc_error(call["id"], -32603) if call["params"][0] == "sig1" else None
    found = connect(capabilities=Capabilities(batch_size=1)).transactions(infos(3))
    assert [isinstance(item, Transaction) for item in found.values()] == [True, False, True]


def wants(version: int) -> str:
    return (
        f"Transaction version ({version}) is not supported by the requesting client. Please try the request again with "
        f'the following configuration parameter: "maxSupportedTransactionVersion": {version}'
    )


def needs_version(version: int, text: str, *names: str) -> Any:
    def item(call: dict[str, Any]) -> dict[str, object] | None:
        offered = call["params"][1].get("maxSupportedTransactionVersion", version)
        return rpc_error(call["id"], -32015, text) if call["params"][0] in names and offered < version else None

    return item


@pytest.mark.parametrize("text", [wants(2), "Transaction version (2) is not supported", "unsupported"])
def test_a_newer_version_is_accepted_and_remembered(
    connect: Connect, node: Node, service: ScriptedService, text: str
) -> None:
    node.item = needs_version(2, text, "sig1", "sig2")
    learnt_values: list[int | None] = []
    client = connect(on_learnt=lambda learnt: learnt_values.append(learnt.transaction_version))
    assert all_there(client.transactions(infos(4)))
    assert sizes(service) == [4, 2]
    assert learnt_values == [2]
    assert all_there(connect(capabilities=client.capabilities).transactions(infos(4)))
    assert sizes(service) == [4, 2, 4]


def test_the_highest_of_several_versions_is_accepted(connect: Connect, node: Node, service: ScriptedService) -> None:
    items = needs_version(2, wants(2), "sig0"), needs_version(5, wants(5), "sig1")
    node.item = lambda call: items[0](call) or items[1](call)
    assert all_there(connect().transactions(infos(2)))
    assert len(service.requests) == 2


def test_a_version_that_does_not_help_fails_permanently_and_is_dropped(
    connect: Connect, node: Node, service: ScriptedService
) -> None:
    node.item = needs_version(200, wants(9), "sig1")
    client = connect()
    found = client.transactions(infos(3))
    assert isinstance(found["sig1"], SourceError)
    assert found["sig1"].permanent
    assert isinstance(found["sig2"], Transaction)
    assert sizes(service) == [3, 0]
    assert client.capabilities.transaction_version is None
    client.transactions(infos(1))
    assert service.requests[-1].json["params"][1]["maxSupportedTransactionVersion"] == 1


def test_a_fault_while_a_version_is_tried_keeps_what_is_there(
    connect: Connect, node: Node, service: ScriptedService
) -> None:
    node.item = needs_version(2, wants(2), "sig1")
    node.whole = lambda payload: None if isinstance(payload, list) else THROTTLED
    found = connect().transactions(infos(3))
    assert isinstance(found["sig0"], Transaction)
    assert str(found["sig1"]) == "the RPC service answered 429 four times"


def test_history_accepts_a_newer_version(connect: Connect, node: Node) -> None:
    node.results["getTransactionsForAddress"] = lambda params: {"data": [transaction("a")]}
    node.item = needs_version(3, wants(3), WALLET)
    client = connect()
    assert len(client.history(WALLET).items) == 1
    assert client.capabilities.transaction_version == 3


def test_a_remembered_version_never_lowers_the_setting(connect: Connect, node: Node, service: ScriptedService) -> None:
    connect(capabilities=Capabilities(transaction_version=0)).transactions(infos(1))
    assert service.requests[0].json["params"][1]["maxSupportedTransactionVersion"] == 1


def test_the_error_in_the_body_replaces_the_status(connect: Connect, service: ScriptedService) -> None:
    service.default = lambda request: Answer(rpc_error(1, -32602, "Invalid param: WrongSize"), 400)
    error = connect().transactions(infos(1))["sig0"]
    assert "WrongSize" in str(error)
    assert len(service.requests) == 1


def test_no_server_at_all(connect: Connect, service: ScriptedService, clock: FakeClock) -> None:
    client = connect()
    service.close()
    error = fault(client)
    assert not error.permanent
    assert str(error) == "the RPC service could not be reached four times"
    assert connection_for(client.endpoint, clock.clock).limiter.paused_s() == 0
