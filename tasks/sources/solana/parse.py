"""Parses results of a Solana node into plain values and checks every field.

Shapes: RPC documentation of `getTransaction`, `getSignaturesForAddress`, `getTokenAccountsByOwner` and `getBalance`
(read 2026-11-24). Every `parse_` function takes the `result` of an answer and raises a permanent `SourceError` if it
differs from the documentation: a retry would give the same. Only lists of signatures are read entry by entry, so that a
damaged entry affects no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import SourceError
from tasks.measures.transaction import TokenBalance, Transaction

MOST_UNITS = 2**64 - 1
"""The largest amount that one account can hold, of lamports or of a token."""
MOST_COUNT = 2**63 - 1
"""The largest slot, index or balance that a database column holds; more than all lamports."""
LATEST_AT = 253_402_300_799
"""The last second of the year 9999, the latest time that Python can show."""
MOST_DECIMALS = 255

_ADDRESS = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_SIGNATURE = re.compile(r"[!-~]{1,128}")
_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class SignatureInfo:
    """One entry of a wallet's list of transactions; `block_at` in Unix seconds, None if the node lost it."""

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int | None
    failed: bool


class Signatures(list[SignatureInfo]):
    """A page of a list of signatures, without the `unreadable` entries; `listed` counts all entries of the node.

    `listed`, not the length, shows whether a page is the last.
    """

    def __init__(self, infos: Iterable[SignatureInfo] = (), unreadable: int = 0):
        super().__init__(infos)
        self.unreadable = unreadable
        self.listed = len(self) + unreadable


def parse_transaction(raw: object, signature: str | None = None, block_at: int | None = None) -> Transaction:
    """Read one `getTransaction` result in encoding `json` or `jsonParsed`, of any version that has their shape.

    `signature` is the requested one, checked if given; `block_at` (Unix seconds, from the list of signatures) replaces
    a missing time. Raises a permanent `SourceError` for anything malformed.
    """
    answer = _object(raw, "the transaction")
    _check_version(answer.get("version"))
    meta, inner = _object(answer.get("meta"), "meta"), _object(answer.get("transaction"), "transaction")
    keys, signers = _keys(_object(inner.get("message"), "message"), meta)
    pre_tokens = _token_balances(meta, "preTokenBalances", len(keys))
    post_tokens = _token_balances(meta, "postTokenBalances", len(keys))
    _check_decimals(pre_tokens + post_tokens)
    return Transaction(
        signature=_own_signature(inner, signature),
        slot=_integer(answer.get("slot"), "slot"),
        transaction_index=_optional(answer.get("transactionIndex"), "transactionIndex"),
        block_at=_time(answer.get("blockTime"), block_at),
        failed=_failed(meta),
        fee=_integer(meta.get("fee"), "fee", MOST_UNITS),
        keys=keys,
        signers=signers,
        pre=_lamports(meta, "preBalances", len(keys)),
        post=_lamports(meta, "postBalances", len(keys)),
        pre_tokens=pre_tokens,
        post_tokens=post_tokens,
    )


def parse_signatures(raw: object) -> Signatures:
    """Read one page of `getSignaturesForAddress`, in the node's order (newest first); see `read_entries`.

    An empty page gives an empty list. Raises a permanent `SourceError` when it is no list at all.
    """
    read = read_entries(_list(raw, "the list of signatures"))
    infos = [info for info in read if info is not None]
    return Signatures(infos, len(read) - len(infos))


def read_entries(entries: Sequence[object]) -> list[SignatureInfo | None]:
    """Read the entries of a list of signatures, newest first, one by one; None for each that cannot be used.

    A signature is enough, because the transaction has the rest: without `err` it counts as not failed, so that it is
    fetched; a malformed time or index is None; a malformed slot becomes that of the entry above, at the top of the list
    that of the entry below. If no entry has a slot, none can be used. Raises nothing.
    """
    objects = [entry if isinstance(entry, dict) else {} for entry in entries]
    slots = _slots([_readable(entry.get("slot")) for entry in objects])
    return [_signature_info(entry, slot) for entry, slot in zip(objects, slots, strict=True)]


def parse_holdings(raw: object) -> dict[str, tuple[int, int]]:
    """Read a `getTokenAccountsByOwner` result (`jsonParsed`): mint → (amount in base units, decimals).

    Accounts of one mint are summed; mints with a zero amount are dropped. No account gives an empty dict.
    Raises a permanent `SourceError` for anything malformed, such as one mint with two numbers of decimals.
    """
    held: Counter[str] = Counter()
    decimals: dict[str, int] = {}
    for entry in _list(_object(raw, "the holdings").get("value"), "the list of token accounts"):
        mint, amount, places = _holding(entry)
        held[mint] += amount
        if decimals.setdefault(mint, places) != places:
            raise _bad("one mint has two different numbers of decimals")
    return {mint: (amount, decimals[mint]) for mint, amount in held.items() if amount}


def parse_balance(raw: object) -> int:
    """Read a `getBalance` result in lamports. Raises a permanent `SourceError` for anything malformed."""
    return _integer(_object(raw, "the balance").get("value"), "the balance", MOST_COUNT)


def _bad(sentence: str) -> SourceError:
    return SourceError("solana", f"The Solana node sent something unreadable: {sentence}.", permanent=True)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(f"{what} is missing or not an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(f"{what} is missing or not a list")
    return value


def _integer(value: object, what: str, most: int = MOST_COUNT, least: int = 0) -> int:
    """Return a whole number in range; JSON's true and 1.0 are not whole numbers."""
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"{what} is missing or not a whole number from {least} to {most}")
    return value


def _optional(value: object, what: str, most: int = MOST_COUNT) -> int | None:
    return None if value is None else _integer(value, what, most)


def _text(value: object, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _bad(f"{what} is missing or malformed")
    return value


def _address(value: object, what: str) -> str:
    return _text(value, _ADDRESS, what)


def _time(value: object, fallback: int | None) -> int:
    """Read a block time, or use `fallback`, from the list of signatures."""
    read = _optional(value, "blockTime", LATEST_AT)
    if read is None and fallback is None:
        raise _bad("the transaction has no block time")
    return _integer(fallback if read is None else read, "the block time", LATEST_AT)


def _failed(meta: dict[str, Any]) -> bool:
    """Return whether a transaction failed; without `err` that is unknown, not a success."""
    if "err" not in meta:
        raise _bad("meta does not say whether the transaction failed")
    return meta["err"] is not None


def _check_version(version: object) -> None:
    """Accept `legacy`, any whole number, and a missing version."""
    if version is not None and version != "legacy":
        _integer(version, "version")


def _own_signature(inner: dict[str, Any], wanted: str | None) -> str:
    signatures = _list(inner.get("signatures"), "signatures")
    if not signatures:
        raise _bad("the transaction has no signature")
    found = _text(signatures[0], _SIGNATURE, "the signature")
    if wanted is not None and found != wanted:
        raise _bad("it is another transaction than the one asked for")
    return found


def _keys(message: dict[str, Any], meta: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return all account keys in the order of the balances, and those that signed."""
    listed = _list(message.get("accountKeys"), "accountKeys")
    if not listed:
        raise _bad("the transaction has no account keys")
    keys, signers = _plain_keys(listed, message, meta) if isinstance(listed[0], str) else _parsed_keys(listed)
    if len(set(keys)) != len(keys):
        raise _bad("an account key is listed twice")
    if keys[0] not in signers:
        raise _bad("the fee payer did not sign")
    return tuple(keys), frozenset(signers)


def _plain_keys(
    listed: Sequence[object], message: dict[str, Any], meta: dict[str, Any]
) -> tuple[list[str], Sequence[str]]:
    """Read the keys of encoding `json`: the message's own, then those from lookup tables unless already listed."""
    header = _object(message.get("header"), "header")
    required = _integer(header.get("numRequiredSignatures"), "numRequiredSignatures", len(listed), 1)
    keys = [_address(key, "an account key") for key in listed]
    looked_up = _looked_up(meta.get("loadedAddresses"))
    if keys[len(keys) - len(looked_up) :] != looked_up:
        keys += looked_up
    return keys, keys[:required]


def _looked_up(loaded: object) -> list[str]:
    """Read the keys from lookup tables, writable before readonly; versions without tables have none."""
    if loaded is None:
        return []
    lists = _object(loaded, "loadedAddresses")
    keys = [key for kind in ("writable", "readonly") for key in _list(lists.get(kind), f"loadedAddresses.{kind}")]
    return [_address(key, "a looked-up key") for key in keys]


def _parsed_keys(listed: Sequence[object]) -> tuple[list[str], Sequence[str]]:
    """Read the keys of encoding `jsonParsed`, which include those from lookup tables."""
    entries = [_object(entry, "an account key") for entry in listed]
    if not all(isinstance(entry.get("signer"), bool) for entry in entries):
        raise _bad("an account key does not say whether it signed")
    keys = [_address(entry.get("pubkey"), "an account key") for entry in entries]
    return keys, [key for key, entry in zip(keys, entries, strict=True) if entry["signer"]]


def _lamports(meta: dict[str, Any], name: str, count: int) -> tuple[int, ...]:
    balances = _list(meta.get(name), name)
    if len(balances) != count:
        raise _bad(f"{name} has {len(balances)} entries for {count} account keys")
    return tuple(_integer(balance, f"an entry of {name}", MOST_UNITS) for balance in balances)


def _token_balances(meta: dict[str, Any], name: str, count: int) -> tuple[TokenBalance, ...]:
    balances = tuple(_token_balance(entry, name, count) for entry in _list(meta.get(name), name))
    if len({balance.account_index for balance in balances}) != len(balances):
        raise _bad(f"{name} lists an account twice")
    return balances


def _token_balance(value: object, name: str, count: int) -> TokenBalance:
    entry = _object(value, f"an entry of {name}")
    amount, decimals = _token_amount(entry.get("uiTokenAmount"))
    owner = entry.get("owner")
    return TokenBalance(
        account_index=_integer(entry.get("accountIndex"), "accountIndex", count - 1),
        mint=_address(entry.get("mint"), "a mint"),
        # Very old entries do not name the owner.
        owner=None if owner in (None, "") else _address(owner, "the owner of a token account"),
        amount=amount,
        decimals=decimals,
    )


def _token_amount(value: object) -> tuple[int, int]:
    """Read an amount, a string of digits, and its decimals; `uiAmount` is a float and not read."""
    entry = _object(value, "a token amount")
    digits = _text(entry.get("amount"), _DIGITS, "a token amount")
    return _integer(int(digits), "a token amount", MOST_UNITS), _integer(
        entry.get("decimals"), "decimals", MOST_DECIMALS
    )


def _check_decimals(balances: Sequence[TokenBalance]) -> None:
    if len({(balance.mint, balance.decimals) for balance in balances}) != len({balance.mint for balance in balances}):
        raise _bad("one mint has two different numbers of decimals")


def _readable(value: object, most: int = MOST_COUNT) -> int | None:
    """Return a whole number in range, None for anything else."""
    return value if type(value) is int and 0 <= value <= most else None


def _slots(read: Sequence[int | None]) -> list[int | None]:
    """Fill gaps from the entry above: too high a slot never makes a transaction look like a known one."""
    slots, above = [], next((slot for slot in read if slot is not None), None)
    for own in read:
        above = above if own is None else own
        slots.append(above)
    return slots


def _signature_info(entry: dict[str, Any], slot: int | None) -> SignatureInfo | None:
    signature = entry.get("signature")
    if slot is None or not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        return None
    return SignatureInfo(
        signature=signature,
        slot=slot,
        transaction_index=_readable(entry.get("transactionIndex")),
        block_at=_readable(entry.get("blockTime"), LATEST_AT),
        failed=entry.get("err") is not None,
    )


def _holding(value: object) -> tuple[str, int, int]:
    """Read one token account: mint, amount, decimals."""
    account = _object(_object(value, "a token account").get("account"), "account")
    parsed = _object(_object(account.get("data"), "the data of a token account").get("parsed"), "parsed")
    info = _object(parsed.get("info"), "info")
    return _address(info.get("mint"), "a mint"), *_token_amount(info.get("tokenAmount"))
