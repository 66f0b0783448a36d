"""The made-up node: pages, encodings, versions, batches and errors as a real one has them."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tasks.simulator.server import Simulator
from tasks.simulator.world.tokens import TOKEN_2022_PROGRAM, TOKEN_PROGRAM

Call = Callable[..., Any]
Post = Callable[[Any], requests.Response]
V1 = {"encoding": "json", "maxSupportedTransactionVersion": 1}


def _longest(simulator: Simulator) -> str:
    return simulator.world.addresses[-1]


def _signature(simulator: Simulator, version: int) -> str:
    address = _longest(simulator)
    return next(simulator.world.signature(e) for e in simulator.world.events(address) if e.version == version)


def _shape(value: Any) -> Any:
    """Reduce a value to its keys and the kinds of its leaves."""
    if isinstance(value, dict):
        return {key: _shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return type(value).__name__


def _recorded(samples: pathlib.Path, name: str) -> Any:
    content = json.loads((samples / name).read_text())
    content = content[0] if isinstance(content, list) else content
    return content.get("result", content)


def test_signatures_come_newest_first_and_pages_join_without_gap(simulator: Simulator, call: Call) -> None:
    address = _longest(simulator)
    page = call("getSignaturesForAddress", address, {"limit": 1000})
    rest = call("getSignaturesForAddress", address, {"limit": 1000, "before": page[-1]["signature"]})
    assert (len(page), len(rest)) == (1_000, 300)
    listed = [entry["signature"] for entry in page + rest]
    assert listed == [simulator.world.signature(event) for event in reversed(simulator.world.events(address))]
    order = [(entry["slot"], entry["transactionIndex"]) for entry in page + rest]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == len(order)


def test_until_and_before_are_exclusive(call: Call, simulator: Simulator) -> None:
    every = [entry["signature"] for entry in call("getSignaturesForAddress", _longest(simulator), {"limit": 50})]
    some = call("getSignaturesForAddress", _longest(simulator), {"before": every[9], "until": every[20]})
    assert [entry["signature"] for entry in some] == every[10:20]
    nothing_newer = call("getSignaturesForAddress", _longest(simulator), {"until": every[0]})
    assert nothing_newer == []


def test_an_unknown_until_gives_everything_back(call: Call, simulator: Simulator) -> None:
    page = call("getSignaturesForAddress", _longest(simulator), {"until": "3" * 88, "limit": 1000})
    assert len(page) == 1_000


def test_a_stranger_has_no_history(call: Call) -> None:
    stranger = "9" * 43
    assert call("getSignaturesForAddress", stranger) == []
    assert call("getBalance", stranger)["value"] == 0


@pytest.mark.parametrize("bad", ["not-an-address", "abc", "", 7, None])
def test_a_bad_address_is_refused_for_good(call: Call, bad: object) -> None:
    assert call("getSignaturesForAddress", bad)["code"] == -32602


@pytest.mark.parametrize("limit", [0, 1_001, "5"])
def test_a_bad_limit_is_refused(call: Call, simulator: Simulator, limit: object) -> None:
    assert call("getSignaturesForAddress", _longest(simulator), {"limit": limit})["code"] == -32602


def test_failed_transactions_are_listed_with_their_error(call: Call, simulator: Simulator) -> None:
    page = call("getSignaturesForAddress", _longest(simulator), {"limit": 1000})
    failed = [entry for entry in page if entry["err"] is not None]
    assert failed
    transaction = call("getTransaction", failed[0]["signature"], V1)
    assert transaction["meta"]["err"] == failed[0]["err"]
    assert transaction["meta"]["status"] == {"Err": failed[0]["err"]}


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("options", [{}, {"maxSupportedTransactionVersion": -1}])
def test_a_newer_version_is_named_in_the_error(
    call: Call, simulator: Simulator, version: int, options: dict[str, Any]
) -> None:
    error = call("getTransaction", _signature(simulator, version), {k: v for k, v in options.items() if v >= 0})
    assert error["code"] == -32015
    assert error["message"].endswith(f'"maxSupportedTransactionVersion": {version}')
    assert error["message"].startswith(f"Transaction version ({version}) is not supported by the requesting client.")


def test_legacy_needs_no_version_and_version_1_needs_1(call: Call, simulator: Simulator) -> None:
    assert call("getTransaction", _signature(simulator, -1))["version"] == "legacy"
    older = {"maxSupportedTransactionVersion": 0}
    assert call("getTransaction", _signature(simulator, 0), older)["version"] == 0
    assert call("getTransaction", _signature(simulator, 1), older)["code"] == -32015
    assert call("getTransaction", _signature(simulator, 1), V1)["version"] == 1


def test_an_unknown_signature_gives_null_and_a_malformed_one_an_error(call: Call) -> None:
    assert call("getTransaction", "4" * 88, V1) is None
    assert call("getTransaction", "abc", V1)["code"] == -32602
    assert call("getTransaction", "4" * 88, {"encoding": "base64"})["code"] == -32602


def test_a_page_has_the_recorded_shape(call: Call, simulator: Simulator, samples: pathlib.Path) -> None:
    recorded = json.loads((samples / "getSignaturesForAddress_result_subset.json").read_text())
    made = [e for e in call("getSignaturesForAddress", _longest(simulator), {"limit": 9}) if e["err"] is None]
    assert _shape(made[0]) == _shape(recorded[0])


@pytest.mark.parametrize(
    ("version", "encoding", "sample"),
    [
        (-1, "json", "transactions/pumpfun_buy_0.json"),
        (0, "json", "transactions/jupiterAggregatorV6_Route_1.json"),
        (0, "jsonParsed", "transactions_jsonParsed/OKXDEX_swap_0.json"),
        (-1, "jsonParsed", "transactions_jsonParsed/pumpfun_buy_0.json"),
        (1, "jsonParsed", "transactions/fomo_buy_v1_jsonParsed_trimmed.json"),
    ],
)
def test_a_transaction_has_the_recorded_keys(
    simulator: Simulator, samples: pathlib.Path, version: int, encoding: Any, sample: str
) -> None:
    recorded, world = _recorded(samples, sample), simulator.world
    event = next(e for e in world.events(_longest(simulator)) if e.version == version and e.what == "buy" and e.tip)
    made = json.loads(world.render(event, encoding))
    newer = {"transactionIndex"}  # recorded before nodes gave it
    assert set(made) - newer == set(recorded) - newer
    assert set(made["meta"]) >= set(recorded["meta"]) - {"costUnits", "returnData"}
    assert set(made["transaction"]["message"]) == set(recorded["transaction"]["message"])
    for path in ("accountKeys", "instructions"):
        one, other = (_shape(t["transaction"]["message"][path][0]) for t in (made, recorded))
        assert type(one) is type(other)
    assert _shape(made["meta"]["postTokenBalances"][0]) == _shape(recorded["meta"]["postTokenBalances"][0])


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_holdings_are_given_by_program(call: Call, simulator: Simulator, program: str) -> None:
    address = _longest(simulator)
    answer = call("getTokenAccountsByOwner", address, {"programId": program}, {"encoding": "jsonParsed"})
    held = [account for account in simulator.world.holdings(address) if account.token.program == program]
    assert held
    assert len(answer["value"]) == len(held)
    for entry, account in zip(answer["value"], held, strict=True):
        info = entry["account"]["data"]["parsed"]["info"]
        assert (info["mint"], info["owner"]) == (account.token.mint, address)
        assert info["tokenAmount"]["amount"] == str(account.amount)
        assert entry["account"]["owner"] == program


def test_the_small_methods_answer(call: Call, simulator: Simulator) -> None:
    assert call("getHealth") == "ok"
    slot = call("getSlot")
    assert call("getBlockTime", slot) == simulator.world.scenario.end_at
    assert call("getBlockTime", slot + 1)["code"] == -32004
    assert call("getBalance", _longest(simulator))["value"] == simulator.world.balance(_longest(simulator))
    assert call("getNothing")["code"] == -32601


def test_a_batch_answers_each_member_on_its_own(post: Post, simulator: Simulator) -> None:
    answers = post(
        [
            {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
            {"jsonrpc": "2.0", "id": "b", "method": "getBalance", "params": ["x"]},
            {"jsonrpc": "2.0", "id": "c"},
            17,
        ]
    ).json()
    assert [answer["id"] for answer in answers] == ["a", "b", "c", None]
    assert answers[0]["result"] == "ok"
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32602, -32600, -32600]


def test_what_is_no_call_is_refused_by_code(post: Post) -> None:
    assert post(b"{not json").json()["error"]["code"] == -32700
    assert post([]).json()["error"]["code"] == -32600
    assert post("text").json()["error"]["code"] == -32600
    assert post({"id": 1, "method": "getBalance", "params": {}}).json()["error"]["code"] == -32602


def test_transactions_for_address_is_off_until_switched_on(call: Call, simulator: Simulator) -> None:
    address = _longest(simulator)
    assert call("getTransactionsForAddress", address, {})["code"] == -32601
    simulator.set_faults(transactions_for_address=True)
    wanted: dict[str, Any] = V1 | {"transactionDetails": "full", "limit": 1000}
    seen: list[str] = []
    while True:
        answer = call("getTransactionsForAddress", address, wanted)
        assert len(answer["data"]) <= 100
        seen += [entry["transaction"]["signatures"][0] for entry in answer["data"]]
        if answer["paginationToken"] is None:
            break
        wanted["paginationToken"] = answer["paginationToken"]
    assert seen == [simulator.world.signature(event) for event in reversed(simulator.world.events(address))]


def test_transactions_for_address_sorts_and_filters(call: Call, simulator: Simulator) -> None:
    simulator.set_faults(transactions_for_address=True)
    options = {"sortOrder": "asc", "limit": 1000, "filters": {"status": "failed"}}
    answer = call("getTransactionsForAddress", _longest(simulator), options)
    failed = [e for e in simulator.world.events(_longest(simulator)) if e.what == "failed"]
    assert [entry["signature"] for entry in answer["data"]] == [simulator.world.signature(e) for e in failed]
    assert call("getTransactionsForAddress", _longest(simulator), {"paginationToken": "?"})["code"] == -32602
