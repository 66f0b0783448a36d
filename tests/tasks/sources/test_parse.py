"""The parser of a node's results (`tasks/sources/solana/parse.py`): both encodings, one error for malformed ones."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.measures.transaction import TokenBalance
from tasks.sources.solana.parse import (
    SignatureInfo,
    Signatures,
    parse_balance,
    parse_holdings,
    parse_signatures,
    parse_transaction,
    read_entries,
)

WALLET, POOL, LOOKED_UP, TABLE = "W" * 43, "P" * 43, "L" * 43, "T" * 43
MINT = "M" * 43
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["legacy", WALLET]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _token(index: int, amount: str) -> dict[str, Any]:
    wanted = {"amount": amount, "decimals": 6, "uiAmount": None, "uiAmountString": "0"}
    return {"accountIndex": index, "mint": MINT, "owner": WALLET, "uiTokenAmount": wanted}


def answer(parsed: bool = False) -> dict[str, Any]:
    """Make a well-formed `getTransaction` result with two looked-up keys."""
    meta: dict[str, Any] = {
        "err": None,
        "fee": 5000,
        "preBalances": [9, 8, 7, 6],
        "postBalances": [8, 8, 7, 6],
        "preTokenBalances": [_token(1, "5")],
        "postTokenBalances": [_token(1, "18446744073709551615")],
    }
    message: dict[str, Any] = {"instructions": []}
    if parsed:
        keys = [(WALLET, True), (POOL, False), (LOOKED_UP, False), (TABLE, False)]
        message["accountKeys"] = [{"pubkey": key, "signer": signer, "writable": True} for key, signer in keys]
    else:
        message |= {"accountKeys": [WALLET, POOL], "header": {"numRequiredSignatures": 1}}
        meta["loadedAddresses"] = {"writable": [LOOKED_UP], "readonly": [TABLE]}
    inner = {"signatures": ["sig"], "message": message}
    return {"slot": 3, "blockTime": 100, "version": 0, "meta": meta, "transaction": inner}


def _set(raw: Any, path: str, value: Any) -> Any:
    """Set (or with `...` remove) what a dotted path leads to."""
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = raw
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


@pytest.mark.parametrize("parsed", [False, True])
def test_every_field_is_read(parsed: bool) -> None:
    transaction = parse_transaction(answer(parsed), "sig")
    assert (transaction.signature, transaction.slot, transaction.block_at, transaction.fee) == ("sig", 3, 100, 5000)
    assert transaction.transaction_index is None
    assert not transaction.failed
    assert transaction.keys == (WALLET, POOL, LOOKED_UP, TABLE)
    assert transaction.fee_payer == WALLET
    assert transaction.signers == {WALLET}
    assert (transaction.pre, transaction.post) == ((9, 8, 7, 6), (8, 8, 7, 6))
    assert transaction.pre_tokens == (TokenBalance(1, MINT, WALLET, 5, 6),)
    assert transaction.post_tokens == (TokenBalance(1, MINT, WALLET, 2**64 - 1, 6),)


@pytest.mark.parametrize("version", ["legacy", 0, 1, 2, None])
def test_every_version_of_this_shape_is_read(version: object) -> None:
    assert parse_transaction(_set(answer(), "version", version)) == parse_transaction(answer(parsed=True))


def test_looked_up_keys_that_are_already_listed_are_not_added_again() -> None:
    flat = _set(answer(), "transaction.message.accountKeys", [WALLET, POOL, LOOKED_UP, TABLE])
    assert parse_transaction(flat) == parse_transaction(answer())


def test_a_legacy_answer_without_looked_up_keys_is_read() -> None:
    raw = _set(answer(), "meta.loadedAddresses", ...)
    raw = _set(raw, "transaction.message.accountKeys", [WALLET, POOL, LOOKED_UP, TABLE])
    assert parse_transaction(raw).keys == (WALLET, POOL, LOOKED_UP, TABLE)


@pytest.mark.parametrize("owner", [None, "", ...])
def test_a_very_old_token_balance_has_no_owner(owner: object) -> None:
    raw = _set(answer(), "meta.preTokenBalances.0.owner", owner)
    assert parse_transaction(raw).pre_tokens[0].owner is None


def test_a_failed_transaction_is_marked() -> None:
    assert parse_transaction(_set(answer(), "meta.err", {"InstructionError": [0, "Custom"]})).failed


def test_the_index_within_the_slot_is_read_where_it_is_told() -> None:
    assert parse_transaction(_set(answer(), "transactionIndex", 12)).transaction_index == 12


def test_the_time_of_the_signature_list_stands_in_for_a_missing_one() -> None:
    assert parse_transaction(_set(answer(), "blockTime", None), block_at=77).block_at == 77
    assert parse_transaction(answer(), block_at=77).block_at == 100


MALFORMED: list[tuple[str, Any, str]] = [
    ("meta", ..., "meta"),
    ("meta", None, "meta"),
    ("transaction", [], "transaction"),
    ("transaction", ["AQAB", "base64"], "transaction"),
    ("transaction.message", ..., "message"),
    ("transaction.message.accountKeys", [], "no account keys"),
    ("transaction.message.accountKeys", [WALLET, 5], "account key"),
    ("transaction.message.accountKeys", [WALLET, "0" * 43], "account key"),
    ("transaction.message.accountKeys", [WALLET, WALLET], "twice"),
    ("transaction.message.accountKeys", [{"pubkey": WALLET, "signer": 1}], "signed"),
    ("transaction.message.accountKeys", [{"pubkey": WALLET, "signer": False}], "fee payer did not sign"),
    ("transaction.message.accountKeys", [WALLET], "3 account keys"),
    ("transaction.message.header", ..., "header"),
    ("transaction.message.header.numRequiredSignatures", 0, "numRequiredSignatures"),
    ("transaction.message.header.numRequiredSignatures", 3, "numRequiredSignatures"),
    ("transaction.message.header.numRequiredSignatures", True, "numRequiredSignatures"),
    ("transaction.signatures", [], "no signature"),
    ("transaction.signatures", [7], "signature"),
    ("transaction.signatures", ["\ud800"], "signature"),
    ("transaction.signatures", ["other"], "another transaction"),
    ("meta.loadedAddresses", [], "loadedAddresses"),
    ("meta.loadedAddresses.readonly", ..., "readonly"),
    ("meta.err", ..., "failed"),
    ("meta.fee", ..., "fee"),
    ("meta.fee", -1, "fee"),
    ("meta.fee", 2**64, "fee"),
    ("meta.fee", 5000.0, "fee"),
    ("meta.preBalances", [9, 8, 7], "preBalances has 3 entries for 4 account keys"),
    ("meta.postBalances", ..., "postBalances"),
    ("meta.postBalances.2", -7, "postBalances"),
    ("meta.postBalances.2", 2**64, "postBalances"),
    ("meta.postBalances.2", False, "postBalances"),
    ("meta.postBalances.2", "7", "postBalances"),
    ("meta.preTokenBalances", None, "preTokenBalances"),
    ("meta.preTokenBalances", [_token(1, "1"), _token(1, "1")], "twice"),
    ("meta.preTokenBalances.0.accountIndex", 4, "accountIndex"),
    ("meta.preTokenBalances.0.accountIndex", -1, "accountIndex"),
    ("meta.preTokenBalances.0.accountIndex", True, "accountIndex"),
    ("meta.preTokenBalances.0.mint", ..., "mint"),
    ("meta.preTokenBalances.0.owner", False, "owner"),
    ("meta.preTokenBalances.0.uiTokenAmount", ..., "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", 5, "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", "-5", "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", "5.0", "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", "٥", "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", "9" * 5000, "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.amount", str(2**64), "token amount"),
    ("meta.preTokenBalances.0.uiTokenAmount.decimals", 256, "decimals"),
    ("meta.preTokenBalances.0.uiTokenAmount.decimals", 5, "two different numbers of decimals"),
    ("slot", ..., "slot"),
    ("slot", -1, "slot"),
    ("slot", 1e9, "slot"),
    ("transactionIndex", "1", "transactionIndex"),
    ("blockTime", ..., "no block time"),
    ("blockTime", 10**15, "blockTime"),
    ("version", "v2", "version"),
    ("version", False, "version"),
    ("version", -1, "version"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), MALFORMED)
def test_a_malformed_transaction_is_a_permanent_error_with_a_reason(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence) as refused:
        parse_transaction(_set(answer(), path, value), "sig")
    assert refused.value.permanent
    assert refused.value.source == "solana"


@pytest.mark.parametrize("raw", [None, [], "x", 7, True, {}])
def test_what_is_no_transaction_at_all_is_refused(raw: object) -> None:
    for parse in (parse_transaction, parse_holdings, parse_balance):
        with pytest.raises(SourceError):
            parse(raw)


def _refusal(parse: Callable[[object], object], raw: object) -> SourceError | None:
    """Return the error of an answer, None if it was read; any other exception passes."""
    try:
        parse(raw)
    except SourceError as refused:
        return refused
    return None


@given(JSON)
def test_no_answer_raises_anything_but_a_permanent_source_error(raw: object) -> None:
    for parse in (parse_transaction, parse_signatures, parse_holdings, parse_balance):
        refused = _refusal(parse, raw)
        assert refused is None or refused.permanent


def _paths(raw: Any, way: str = "") -> list[str]:
    """List every dotted path into a JSON value."""
    steps = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [deeper for step, inner in steps for deeper in (f"{way}{step}", *_paths(inner, f"{way}{step}."))]


@given(st.data(), st.booleans(), JSON)
def test_one_wrong_value_anywhere_raises_nothing_else_either(data: st.DataObject, parsed: bool, value: object) -> None:
    raw = answer(parsed)
    path = data.draw(st.sampled_from(_paths(raw)))
    refused = _refusal(parse_transaction, _set(raw, path, value))
    assert refused is None or refused.permanent


def test_the_recorded_page_of_signatures_is_read_newest_first(samples: pathlib.Path) -> None:
    page = parse_signatures(json.loads((samples / "getSignaturesForAddress_result_subset.json").read_text()))
    assert [entry.slot for entry in page] == [454435110, 454419859, 454367228]
    first = "4NskgPPxWbwbM3kC6GBMFYdFtvThpu3j6EYC615mYxEJ21D3NLjdTYD2StWzPS34ZKd9Qt8UYTyyYYF8URiwVpC9"
    assert page[0] == SignatureInfo(first, 454435110, 70, 1791433157, False)


def _entry(**changes: Any) -> dict[str, Any]:
    """Make an entry of a list of signatures; `...` leaves a field out."""
    entry = {"signature": "sig", "slot": 3, "transactionIndex": 1, "blockTime": 100, "err": None} | changes
    return {name: value for name, value in entry.items() if value is not ...}


def test_a_signature_may_lack_time_and_index() -> None:
    entry = _entry(blockTime=None, transactionIndex=..., err={"InstructionError": []})
    assert parse_signatures([entry]) == [SignatureInfo("sig", 3, None, None, True)]


def test_an_empty_page_of_signatures_lists_nothing() -> None:
    page = parse_signatures([])
    assert (page, page.listed, page.unreadable) == ([], 0, 0)


@pytest.mark.parametrize("raw", [None, {}, "x", 7])
def test_anything_but_a_list_of_signatures_is_a_permanent_error(raw: object) -> None:
    with pytest.raises(SourceError, match="not a list") as refused:
        parse_signatures(raw)
    assert refused.value.permanent


@pytest.mark.parametrize(
    "damaged", [None, [], "sig", 7, {}] + [_entry(signature=s) for s in (..., None, 7, "", "a b", "x" * 129, "\ud800")]
)
def test_an_entry_without_a_signature_is_left_out_and_counted(damaged: object) -> None:
    page = parse_signatures([_entry(signature="b"), damaged, _entry(signature="a")])
    assert [info.signature for info in page] == ["b", "a"]
    assert (page.listed, page.unreadable) == (3, 1)


def test_without_err_a_transaction_is_fetched() -> None:
    assert parse_signatures([_entry(err=...)]) == [SignatureInfo("sig", 3, 1, 100, False)]


@pytest.mark.parametrize("value", ["5", -1, 1.0, True, 2**63, [], {}])
def test_a_malformed_time_or_index_is_none(value: object) -> None:
    page = parse_signatures([_entry(blockTime=value, transactionIndex=value)])
    assert page == [SignatureInfo("sig", 3, None, None, False)]


def test_the_slot_above_stands_in_for_a_malformed_one_and_at_the_top_the_one_below() -> None:
    page = parse_signatures([_entry(slot=slot) for slot in ("9", 9, ..., -1, 7, None)])
    assert [info.slot for info in page] == [9, 9, 9, 9, 7, 7]
    assert page.unreadable == 0


def test_without_any_slot_no_entry_can_be_used() -> None:
    page = parse_signatures([_entry(slot=None), _entry(slot="3")])
    assert (page, page.listed, page.unreadable) == ([], 2, 2)


@given(st.lists(JSON | st.builds(_entry, slot=JSON, signature=st.sampled_from(["a", "b"]), err=JSON)))
def test_entries_are_read_in_place(entries: list[object]) -> None:
    read = read_entries(entries)
    assert len(read) == len(entries)
    page = parse_signatures(entries)
    assert page == [info for info in read if info is not None]
    assert page.listed == len(entries) == len(page) + page.unreadable


def test_a_page_of_signatures_is_a_list() -> None:
    infos = [SignatureInfo("sig", 3, None, None, True)]
    assert Signatures(infos) == infos
    assert Signatures(infos).listed == 1


def _account(mint: str, amount: str, decimals: int = 6) -> dict[str, Any]:
    info = {"mint": mint, "owner": WALLET, "tokenAmount": {"amount": amount, "decimals": decimals, "uiAmount": None}}
    return {"pubkey": POOL, "account": {"lamports": 1, "data": {"parsed": {"type": "account", "info": info}}}}


def test_holdings_are_summed_by_mint_and_empty_ones_dropped() -> None:
    raw = {"context": {"slot": 1}, "value": [_account(MINT, "5"), _account(POOL, "0"), _account(MINT, "7")]}
    assert parse_holdings(raw) == {MINT: (12, 6)}
    assert parse_holdings({"value": []}) == {}


@pytest.mark.parametrize(
    "value",
    [None, {}, [None], [_account(MINT, "x")], [_account("short", "1")], [_account(MINT, "1"), _account(MINT, "1", 7)]],
)
def test_malformed_holdings_are_refused(value: object) -> None:
    with pytest.raises(SourceError):
        parse_holdings({"value": value})


def test_a_balance_is_a_whole_number_of_lamports() -> None:
    assert parse_balance({"context": {"slot": 1}, "value": 12}) == 12
    for value in (None, -1, 1.0, True, 2**64, "12"):
        with pytest.raises(SourceError):
            parse_balance({"value": value})
