"""The RPC client with a healthy service (`tasks/sources/solana/client.py`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tasks.errors import SourceError
from tasks.measures.transaction import Transaction
from tasks.measures.well_known import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from tasks.sources.rate_limit.clock import Stopped
from tasks.sources.solana.client import HistoryPage, Holdings, SolanaClient
from tasks.sources.solana.endpoint import Capabilities, Endpoint, connection_for
from tasks.sources.solana.parse import SignatureInfo
from tests.support.scripted_service import (
    KEY,
    MINT,
    WALLET,
    Answer,
    Connect,
    FakeClock,
    Node,
    ScriptedService,
    listed,
    result,
    token_account,
    transaction,
)
from tests.support.scripted_service import error as rpc_error


def infos(count: int) -> list[SignatureInfo]:
    return [SignatureInfo(f"sig{number}", 7, 3, 1_790_000_000, False) for number in range(count)]


def test_it_lists_signatures(connect: Connect, node: Node, service: ScriptedService) -> None:
    node.results["getSignaturesForAddress"] = lambda params: [listed("b"), listed("a", failed=True)]
    found = connect().signatures(WALLET, before="c", until="0", limit=2)
    assert [(info.signature, info.failed) for info in found] == [("b", False), ("a", True)]
    assert service.requests[0].json["params"] == [
        WALLET,
        {"limit": 2, "commitment": "confirmed", "before": "c", "until": "0"},
    ]


def test_it_leaves_out_bounds_that_are_not_given(connect: Connect, node: Node, service: ScriptedService) -> None:
    assert connect().signatures(WALLET) == []
    assert service.requests[0].json["params"] == [WALLET, {"limit": 1000, "commitment": "confirmed"}]


def test_a_damaged_entry_spoils_no_page_of_signatures(connect: Connect, node: Node) -> None:
    unsigned, slotless = listed("x") | {"signature": None}, listed("b") | {"slot": "seven"}
    node.results["getSignaturesForAddress"] = lambda params: [listed("c"), None, unsigned, slotless]
    page = connect().signatures(WALLET, limit=4)
    assert page == [SignatureInfo(name, 7, 3, 1_790_000_000, False) for name in ("c", "b")]
    assert (page.listed, page.unreadable) == (4, 2)


def test_a_short_page_may_hold_nothing_readable(connect: Connect, node: Node) -> None:
    node.results["getSignaturesForAddress"] = lambda params: [None]
    page = connect().signatures(WALLET, limit=2)
    assert (page, page.listed, page.unreadable) == ([], 1, 1)


def test_a_full_page_without_a_signature_is_a_fault(connect: Connect, node: Node) -> None:
    node.results["getSignaturesForAddress"] = lambda params: [None, {}]
    with pytest.raises(SourceError, match="listed 2 signatures, none of them readable") as caught:
        connect().signatures(WALLET, limit=2)
    assert caught.value.permanent


@pytest.mark.parametrize("raw", [None, {}, "x"])
def test_it_refuses_what_is_no_list_of_signatures(connect: Connect, node: Node, raw: object) -> None:
    node.results["getSignaturesForAddress"] = lambda params: raw
    with pytest.raises(SourceError, match="not a list") as caught:
        connect().signatures(WALLET)
    assert caught.value.permanent


def test_it_fetches_transactions_in_one_batch(connect: Connect, node: Node, service: ScriptedService) -> None:
    found = connect().transactions(infos(100))
    assert list(found) == [f"sig{number}" for number in range(100)]
    assert all(isinstance(item, Transaction) and item.signature == name for name, item in found.items())
    assert len(service.requests) == 1
    assert service.requests[0].json[0]["params"] == [
        "sig0",
        {"encoding": "jsonParsed", "commitment": "confirmed", "maxSupportedTransactionVersion": 1},
    ]


def test_it_fetches_one_transaction_without_a_batch(connect: Connect, node: Node, service: ScriptedService) -> None:
    assert isinstance(connect().transactions(infos(1))["sig0"], Transaction)
    assert isinstance(service.requests[0].json, dict)


def test_no_signatures_cause_no_request(connect: Connect, service: ScriptedService) -> None:
    assert connect().transactions([]) == {}
    assert service.requests == []


def test_a_repeated_signature_is_fetched_once(connect: Connect, node: Node, service: ScriptedService) -> None:
    assert len(connect().transactions(infos(2) + infos(2))) == 2
    assert len(service.requests[0].json) == 2


def test_it_splits_what_is_more_than_a_batch(connect: Connect, node: Node, service: ScriptedService) -> None:
    assert len(connect().transactions(infos(250))) == 250
    assert [len(request.json) for request in service.requests] == [100, 100, 50]


@pytest.mark.parametrize(
    ("rate", "known", "size"), [(1000, None, 100), (4, None, 40), (0.05, None, 1), (4, 25, 25), (4, 60, 40), (50, 1, 1)]
)
def test_a_batch_is_as_large_as_rate_and_service_allow(
    connect: Connect, rate: float, known: int | None, size: int
) -> None:
    assert connect(rate, capabilities=Capabilities(batch_size=known)).batch_size == size


def test_a_batch_counts_singly_against_the_rate(connect: Connect, node: Node, clock: FakeClock) -> None:
    start = clock.now()
    connect(4).transactions(infos(80))
    assert clock.now() - start >= 10


def test_it_brings_a_batch_into_order(connect: Connect, service: ScriptedService) -> None:
    def shuffled(request: Any) -> Answer:
        answers = [result(call["id"], transaction(call["params"][0])) for call in reversed(request.json)]
        stray = [result(99, None), result(True, None), result(1, None), result("2", None), rpc_error(None, -32600), 7]
        return Answer(answers + stray)

    service.default = shuffled
    found = connect().transactions(infos(3))
    assert [item.signature for item in found.values() if isinstance(item, Transaction)] == ["sig0", "sig1", "sig2"]


def test_it_reads_holdings_in_one_request(connect: Connect, node: Node, service: ScriptedService) -> None:
    other = "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm"
    held = {
        TOKEN_PROGRAM: [token_account(MINT, 5), token_account(MINT, 6), token_account(other, 0)],
        TOKEN_2022_PROGRAM: [token_account(other, 1, 9)],
    }
    node.results["getTokenAccountsByOwner"] = lambda params: {"value": held[params[1]["programId"]]}
    assert connect().holdings(WALLET) == Holdings({MINT: (11, 6), other: (1, 9)}, 42)
    assert len(service.requests) == 1


def test_it_reads_holdings_singly_where_batches_are_refused(
    connect: Connect, node: Node, service: ScriptedService
) -> None:
    assert connect(capabilities=Capabilities(batch_size=1)).holdings(WALLET) == Holdings({}, 42)
    assert len(service.requests) == 3


def test_holdings_need_all_their_parts(connect: Connect, node: Node) -> None:
    node.item = lambda call: rpc_error(call["id"], -32602, "bad") if call["method"] == "getBalance" else None
    with pytest.raises(SourceError, match="-32602"):
        connect().holdings(WALLET)


def test_it_reads_a_page_of_history(connect: Connect, node: Node, service: ScriptedService) -> None:
    failed = transaction("b")
    failed["meta"] = failed["meta"] | {"err": {"InstructionError": [0, "Custom"]}}  # type: ignore[operator]
    node.results["getTransactionsForAddress"] = lambda params: {
        "data": [transaction("c"), failed, transaction("a") | {"version": "odd"}],
        "paginationToken": "5:1",
    }
    page = connect().history(WALLET, pagination_token="9:1", limit=50)
    assert page.next_token == "5:1"
    assert [info for info, _ in page.items] == [
        SignatureInfo("c", 7, 3, 1_790_000_000, False),
        SignatureInfo("b", 7, 3, 1_790_000_000, True),
        SignatureInfo("a", 7, 3, 1_790_000_000, False),
    ]
    assert [isinstance(item, Transaction) for _, item in page.items] == [True, True, False]
    assert service.requests[0].json["params"] == [
        WALLET,
        {
            "transactionDetails": "full",
            "sortOrder": "desc",
            "limit": 50,
            "paginationToken": "9:1",
            "encoding": "jsonParsed",
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": 1,
        },
    ]


def changed(signature: str, **changes: object) -> dict[str, object]:
    """A transaction of a page of history with some fields replaced; `...` removes one."""
    return {name: value for name, value in (transaction(signature) | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"meta": None}, "meta is missing"),
        ({"meta": ...}, "meta is missing"),
        ({"meta": []}, "meta is missing"),
        ({"meta": {}}, "preTokenBalances is missing"),
        ({"slot": None}, "slot is missing"),
        ({"slot": "7"}, "slot is missing"),
        ({"blockTime": "x"}, "blockTime is missing"),
        ({"transaction": {"signatures": ["b"]}}, "message is missing"),
    ],
)
def test_a_damaged_entry_of_history_fails_alone(
    connect: Connect, node: Node, changes: dict[str, object], reason: str
) -> None:
    data = [transaction("c"), changed("b", **changes), transaction("a")]
    node.results["getTransactionsForAddress"] = lambda params: {"data": data, "paginationToken": "5:1"}
    page = connect().history(WALLET)
    assert [(info.signature, info.slot, info.failed) for info, _ in page.items] == [(s, 7, False) for s in "cba"]
    (_, newer), (_, damaged), (_, older) = page.items
    assert isinstance(newer, Transaction)
    assert isinstance(older, Transaction)
    assert isinstance(damaged, SourceError)
    assert damaged.permanent
    assert reason in str(damaged)
    assert (page.next_token, page.unreadable) == ("5:1", 0)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        "b",
        {},
        changed("b", transaction=None),
        changed("b", transaction=["AQAB", "base64"]),
        changed("b", transaction={"signatures": []}),
        changed("b", transaction={"signatures": [5]}),
    ],
)
def test_an_entry_of_history_without_a_signature_is_counted(connect: Connect, node: Node, entry: object) -> None:
    node.results["getTransactionsForAddress"] = lambda params: {"data": [transaction("c"), entry, transaction("a")]}
    page = connect().history(WALLET)
    assert [info.signature for info, _ in page.items] == ["c", "a"]
    assert all(isinstance(item, Transaction) for _, item in page.items)
    assert page.unreadable == 1


def test_a_page_of_history_may_hold_nothing_readable(connect: Connect, node: Node) -> None:
    node.results["getTransactionsForAddress"] = lambda params: {"data": [None, {}], "paginationToken": "5:1"}
    assert connect().history(WALLET) == HistoryPage([], "5:1", 2)


@pytest.mark.parametrize("token", [{}, {"paginationToken": None}, {"paginationToken": ""}])
def test_the_last_page_of_history_has_no_token(connect: Connect, node: Node, token: dict[str, object]) -> None:
    node.results["getTransactionsForAddress"] = lambda params: {"data": []} | token
    page = connect().history(WALLET)
    assert (page.items, page.next_token, page.unreadable) == ([], None, 0)


@pytest.mark.parametrize("raw", [None, [], {"data": None}, {"data": {}}, {"data": [], "paginationToken": 5}])
def test_it_refuses_a_history_that_cannot_be_read(connect: Connect, node: Node, raw: object) -> None:
    node.results["getTransactionsForAddress"] = lambda params: raw
    with pytest.raises(SourceError) as caught:
        connect().history(WALLET)
    assert caught.value.permanent


def test_a_repeated_page_of_history_is_a_fault(connect: Connect, node: Node) -> None:
    node.results["getTransactionsForAddress"] = lambda params: {"data": [], "paginationToken": "5:1"}
    with pytest.raises(SourceError, match="same page"):
        connect().history(WALLET, pagination_token="5:1")


def test_it_probes_for_history_once(connect: Connect, node: Node, service: ScriptedService) -> None:
    learnt_values: list[dict[str, object]] = []
    node.results["getTransactionsForAddress"] = lambda params: {"data": [], "paginationToken": None}
    client = connect(on_learnt=lambda learnt: learnt_values.append(asdict(learnt)))
    assert client.has_history(WALLET)
    assert client.has_history(WALLET)
    assert len(service.requests) == 1
    assert learnt_values == [{"batch_size": None, "has_history": True, "transaction_version": None}]
    assert connect(capabilities=Capabilities(**learnt_values[0])).has_history(WALLET)  # type: ignore[arg-type]
    assert len(service.requests) == 1


@pytest.mark.parametrize("code", [-32601, -32600, -32602, -32403, -32401, -32052, None])
def test_an_error_means_that_there_is_no_history(connect: Connect, node: Node, code: int | None) -> None:
    node.item = lambda call: rpc_error(call["id"], code, "only on paid plans")
    assert not connect().has_history(WALLET)


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_status_means_that_there_is_no_history(connect: Connect, service: ScriptedService, status: int) -> None:
    service.default = lambda request: Answer(b"no", status)
    assert not connect().has_history(WALLET)


def test_a_result_of_another_shape_means_that_there_is_no_history(connect: Connect, node: Node) -> None:
    node.results["getTransactionsForAddress"] = lambda params: None
    assert not connect().has_history(WALLET)


@pytest.mark.parametrize("code", [-32603, -32005, -32429, 429])
def test_a_temporary_error_says_nothing_about_history(connect: Connect, node: Node, code: int) -> None:
    node.item = lambda call: rpc_error(call["id"], code, "busy")
    client = connect()
    with pytest.raises(SourceError):
        client.has_history(WALLET)
    assert client.capabilities.has_history is None


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_temporary_status_says_nothing_about_history(connect: Connect, service: ScriptedService, status: int) -> None:
    service.default = lambda request: Answer({}, status)
    with pytest.raises(SourceError):
        connect().has_history(WALLET)


def test_clients_of_an_endpoint_share_connections_and_rate(connect: Connect, clock: FakeClock) -> None:
    one, other = connect(), connect()
    assert connection_for(one.endpoint, clock.clock) is connection_for(other.endpoint, clock.clock)
    assert connection_for(one.endpoint, clock.clock) is not connection_for(connect(5).endpoint, clock.clock)


def test_the_key_is_in_no_name(connect: Connect, clock: FakeClock) -> None:
    endpoint = Endpoint(f"http://127.0.0.1/{KEY}?k={KEY}", 4)
    assert KEY not in repr(endpoint)
    assert KEY not in connection_for(endpoint, clock.clock).limiter.name


def test_it_stops_on_request(connect: Connect, node: Node, service: ScriptedService) -> None:
    client = connect(stop=lambda: True)
    with pytest.raises(Stopped):
        client.signatures(WALLET)
    assert service.requests == []


def test_a_stop_in_between_keeps_what_is_there(connect: Connect, node: Node, service: ScriptedService) -> None:
    found = connect(stop=lambda: len(service.requests) >= 2).transactions(infos(250))
    assert [isinstance(item, Stopped) for item in found.values()] == [False] * 200 + [True] * 50


def sync(client: SolanaClient, known: str | None) -> None:
    """The requests of a sync, as few as possible."""
    new: list[SignatureInfo] = []
    while (page := client.signatures(WALLET, until=known, before=new[-1].signature if new else None)).listed == 1000:
        new += page
    new += page
    for start in range(0, len(new), client.batch_size):
        client.transactions(new[start : start + client.batch_size])
    client.holdings(WALLET)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 999, 1000, 1001])
def test_a_sync_keeps_its_budget_of_requests(
    connect: Connect, node: Node, service: ScriptedService, count: int
) -> None:
    names = [f"sig{number}" for number in range(count)]

    def page(params: list[Any]) -> object:
        start = names.index(params[1]["before"]) + 1 if "before" in params[1] else 0
        return [listed(name) for name in names[start : start + 1000]]

    node.results["getSignaturesForAddress"] = page
    sync(connect(10_000), None)
    assert len(service.requests) <= -(-(count + 1) // 1000) + -(-count // 100) + 3
    node.results["getSignaturesForAddress"] = lambda params: []
    before = len(service.requests)
    sync(connect(10_000), "sig0")
    assert len(service.requests) - before <= 4
