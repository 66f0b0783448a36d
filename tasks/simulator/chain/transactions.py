"""Renders one event as the transaction that a node would show, in both encodings."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from tasks.simulator.chain.accounts import AccountList, TokenRow
from tasks.simulator.chain.counterparties import collect_accounts
from tasks.simulator.world.addresses import derive_address, signature_of
from tasks.simulator.world.events import LEGACY, Event
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, Catalogue

Encoding = Literal["json", "jsonParsed"]
_BUDGET = "ComputeBudget111111111111111111111111111111"
_SYSTEM = "11111111111111111111111111111111"
_SWAPPERS = (
    "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4",
    "pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA",
    "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P",
    "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8",
)
_TABLES = tuple(derive_address("table", number) for number in range(3))
_ERROR: dict[str, Any] = {"InstructionError": [3, {"Custom": 6001}]}
_OK = orjson.Fragment(b'{"Ok":null}')
_LOGS = orjson.Fragment(
    orjson.dumps(
        [
            f"Program {_BUDGET} invoke [1]",
            f"Program {_BUDGET} success",
            f"Program {_SWAPPERS[0]} invoke [1]",
            "Program log: Instruction: Route",
            f"Program {_SWAPPERS[0]} consumed 97214 of 400000 compute units",
            f"Program {_SWAPPERS[0]} success",
        ]
    )
)


def error_of(event: Event) -> dict[str, Any] | None:
    """Return the transaction's error as a node writes it, None for one that succeeded."""
    return _ERROR if event.what == "failed" else None


def render(event: Event, scenario: Scenario, catalogue: Catalogue, encoding: Encoding) -> bytes:
    """Return the JSON of `getTransaction`'s result."""
    return orjson.dumps(transaction(event, scenario, catalogue, encoding))


def transaction(event: Event, scenario: Scenario, catalogue: Catalogue, encoding: Encoding) -> dict[str, Any]:
    """Return `getTransaction`'s result as a dict that orjson can write."""
    accounts = collect_accounts(event, catalogue)
    programs = [_SWAPPERS[event.sequence % 4], _SYSTEM, TOKEN_PROGRAM]
    if any(row.token.program == TOKEN_2022_PROGRAM for row in accounts.rows):
        programs.append(TOKEN_2022_PROGRAM)
    if event.version != 1:
        programs.append(_BUDGET)
    keys = [*accounts.signers, *accounts.plain, *programs, *accounts.looked_up]
    build = _message_parsed if encoding == "jsonParsed" else _message
    signatures = [signature_of(scenario.seed, event.unit, event.sequence)]
    signatures += [signature_of(scenario.seed + 1, event.unit, event.sequence)] * (len(accounts.signers) - 1)
    return {
        "slot": event.slot,
        "blockTime": scenario.block_time(event.slot),
        "transactionIndex": event.order,
        "version": "legacy" if event.version == LEGACY else event.version,
        "meta": _meta(event, accounts, keys, encoding),
        "transaction": {"signatures": signatures, "message": build(event, accounts, keys, programs)},
    }


def _meta(event: Event, accounts: AccountList, keys: list[str], encoding: Encoding) -> dict[str, Any]:
    places = {key: place for place, key in enumerate(keys)}
    error = error_of(event)
    meta = {
        "err": error,
        "status": _OK if error is None else {"Err": error},
        "fee": event.fee,
        "preBalances": [accounts.before.get(key, 1) for key in keys],
        "postBalances": [accounts.after.get(key, 1) for key in keys],
        "preTokenBalances": [_balance(places, row, row.before) for row in accounts.rows if row.before is not None],
        "postTokenBalances": [_balance(places, row, row.after) for row in accounts.rows if row.after is not None],
        "innerInstructions": [],
        "logMessages": _LOGS,
        "rewards": [],
        "computeUnitsConsumed": 60_000 + accounts.noise() % 300_000,
    }
    if encoding == "json":
        meta["loadedAddresses"] = {"writable": accounts.looked_up, "readonly": []}
    return meta


def _balance(places: dict[str, int], row: TokenRow, amount: int) -> dict[str, Any]:
    token = row.token
    return {
        "accountIndex": places[row.account],
        "mint": token.mint,
        "owner": row.owner,
        "programId": token.program,
        "uiTokenAmount": ui_amount(amount, token.decimals),
    }


def ui_amount(amount: int, decimals: int) -> dict[str, Any]:
    """Return an amount as nodes write it: exact as text, `uiAmount` null at 0."""
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals if amount else None,
        "uiAmountString": _decimal(amount, decimals),
    }


def _decimal(amount: int, decimals: int) -> str:
    if not decimals:
        return str(amount)
    digits = str(amount).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")


def _lookups(accounts: AccountList) -> list[dict[str, Any]]:
    if not accounts.looked_up:
        return []
    indexes = list(range(11, 11 + len(accounts.looked_up)))
    return [{"accountKey": _TABLES[len(indexes) % 3], "writableIndexes": indexes, "readonlyIndexes": []}]


def _message(event: Event, accounts: AccountList, keys: list[str], programs: list[str]) -> dict[str, Any]:
    stated = len(keys) - len(accounts.looked_up)
    message: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": len(accounts.signers),
            "numReadonlySignedAccounts": 0,
            "numReadonlyUnsignedAccounts": len(programs),
        },
        "accountKeys": keys[:stated],
        "recentBlockhash": _blockhash(event),
        "instructions": _instructions(event, accounts, keys, programs),
    }
    return _versioned(event, accounts, message)


def _versioned(event: Event, accounts: AccountList, message: dict[str, Any]) -> dict[str, Any]:
    if event.version == 0:
        message["addressTableLookups"] = _lookups(accounts)
    elif event.version == 1:
        message["transactionConfig"] = {
            "computeUnitLimit": 400_000,
            "heapSize": 65_536,
            "loadedAccountsDataSizeLimit": 67_108_864,
            "priorityFee": event.fee - 5_000 * len(accounts.signers),
        }
    return message


def _message_parsed(event: Event, accounts: AccountList, keys: list[str], programs: list[str]) -> dict[str, Any]:
    signers, stated = len(accounts.signers), len(keys) - len(accounts.looked_up)
    readonly = stated - len(programs)
    message = {
        "accountKeys": [
            {
                "pubkey": key,
                "signer": place < signers,
                "source": "transaction" if place < stated else "lookupTable",
                "writable": not readonly <= place < stated,
            }
            for place, key in enumerate(keys)
        ],
        "recentBlockhash": _blockhash(event),
        "instructions": [_named(keys, instruction) for instruction in _instructions(event, accounts, keys, programs)],
    }
    return _versioned(event, accounts, message)


def _instructions(event: Event, accounts: AccountList, keys: list[str], programs: list[str]) -> list[dict[str, Any]]:
    first = len(accounts.signers) + len(accounts.plain)
    indexes = [*range(first), *range(first + len(programs), len(keys))]
    swap = {"accounts": indexes, "data": "PrpFmsY4d26dKbdKMZhxRk", "programIdIndex": first, "stackHeight": None}
    if event.version == 1:
        return [swap]
    budget = {"accounts": [], "data": "3DUxpVZYSzoy", "programIdIndex": keys.index(_BUDGET), "stackHeight": None}
    return [budget, swap]


def _named(keys: list[str], instruction: dict[str, Any]) -> dict[str, Any]:
    return {
        "programId": keys[instruction["programIdIndex"]],
        "accounts": [keys[place] for place in instruction["accounts"]],
        "data": instruction["data"],
        "stackHeight": instruction["stackHeight"],
    }


def _blockhash(event: Event) -> str:
    return derive_address("block", event.slot)
