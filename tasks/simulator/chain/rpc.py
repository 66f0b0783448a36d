"""JSON-RPC as a Solana node speaks it, single calls and batches; knows the world but no socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tasks.simulator.chain.params import (
    CallError,
    Throttled,
    address_of,
    encoding_of,
    integer_of,
    options_of,
    signature_of,
)
from tasks.simulator.chain.transactions import Encoding, error_of, ui_amount
from tasks.simulator.responses import Response, error_response
from tasks.simulator.state import SimulatorState
from tasks.simulator.world.addresses import token_account
from tasks.simulator.world.events import LEGACY, Event
from tasks.simulator.world.scenario import NEWEST_SLOT
from tasks.simulator.world.tokens import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, WSOL
from tasks.simulator.world.world import Account, World

_PROGRAMS = {TOKEN_PROGRAM: ("spl-token", 165), TOKEN_2022_PROGRAM: ("spl-token-2022", 170)}
_NEWER = (
    "Transaction version ({0}) is not supported by the requesting client. "
    'Please try the request again with the following configuration parameter: "maxSupportedTransactionVersion": {0}'
)


class Chain:
    """One node."""

    def __init__(self, world: World, state: SimulatorState):
        self.world, self.state = world, state
        self._methods: dict[str, Callable[[list[Any]], bytes]] = {
            "getSignaturesForAddress": self._signatures,
            "getTransaction": self._transaction,
            "getTokenAccountsByOwner": self._token_accounts,
            "getBalance": self._balance,
            "getTransactionsForAddress": self._transactions,
            "getHealth": lambda _: b'"ok"',
            "getSlot": lambda _: b"%d" % NEWEST_SLOT,
            "getBlockTime": self._block_time,
        }

    def respond(self, request: object) -> Response:
        """Return the response to one call or a batch, already read from JSON."""
        if not isinstance(request, list):
            return self._single(request)
        if not request:
            return Response(_error_body(None, -32600, "Invalid request"))
        faults = self.state.faults
        if faults.batch_refusal or (faults.max_batch and len(request) > faults.max_batch):
            return error_response(faults.batch_refusal or 413, "Batch requests of this size are not allowed.")
        responses = [self._member(call) for call in request]
        self.state.shuffle(responses)
        return Response(b"[" + b",".join(responses) + b"]")

    def _single(self, call: object) -> Response:
        try:
            return Response(self._call(call))
        except Throttled:
            return error_response(429, "Too many requests for this address.", 1)

    def _member(self, call: object) -> bytes:
        try:
            return self._call(call)
        except Throttled as throttled:
            return _error_body(_id_of(call), -32429, str(throttled))

    def _call(self, call: object) -> bytes:
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return _error_body(_id_of(call), -32600, "Invalid request")
        self.state.count_call(call["method"])
        try:
            result = self._method(call["method"])(_params_of(call))
        except CallError as error:
            return _error_body(call.get("id"), error.code, str(error))
        return b'{"jsonrpc":"2.0","result":' + result + b',"id":' + orjson.dumps(call.get("id")) + b"}"

    def _method(self, name: str) -> Callable[[list[Any]], bytes]:
        off = self.state.faults.unavailable_methods
        plan_locked = name == "getTransactionsForAddress" and not self.state.faults.transactions_for_address
        if name in off or plan_locked or name not in self._methods:
            raise CallError(-32601, "Method not found")
        return self._methods[name]

    # -- history -----------------------------------------------------------------------------------

    def _visible(self, address: str) -> list[int]:
        sequences = self.world.history(address)
        return list(sequences[: max(0, len(sequences) - self.state.faults.hide_newest)])

    def _signatures(self, params: list[Any]) -> bytes:
        address, options = address_of(params, self.state.faults), options_of(params, 1)
        limit = integer_of(options, "limit", 1_000, 1, 1_000)
        sequences = self._visible(address)
        if options.get("before") is not None:
            place = self.world.position(address, signature_of([options["before"]]))
            sequences = [] if place is None else sequences[:place]
        if options.get("until") is not None:
            place = self.world.position(address, signature_of([options["until"]]))
            sequences = sequences if place is None else sequences[place + 1 :]
        newest = reversed(sequences[-limit:])
        return orjson.dumps([self._listed(self.world.event(address, sequence)) for sequence in newest])

    def _listed(self, event: Event) -> dict[str, Any]:
        return {
            "signature": self.world.signature(event),
            "slot": event.slot,
            "transactionIndex": event.order,
            "blockTime": self.world.scenario.block_time(event.slot),
            "err": error_of(event),
            "memo": None,
            "confirmationStatus": "finalized",
        }

    def _transaction(self, params: list[Any]) -> bytes:
        signature, options = signature_of(params), options_of(params, 1)
        encoding = encoding_of(options)
        event = self.world.find(signature)
        if event is None or self.state.is_not_yet_visible(signature):
            return b"null"
        return self._shown(event, signature, encoding, options)

    def _shown(self, event: Event, signature: str, encoding: Encoding, options: dict[str, Any]) -> bytes:
        if event.version > integer_of(options, "maxSupportedTransactionVersion", LEGACY, 0, 255):
            raise CallError(-32015, _NEWER.format(event.version))
        self.state.count_transaction(signature)
        return self.world.render(event, encoding)

    def _transactions(self, params: list[Any]) -> bytes:
        address, options = address_of(params, self.state.faults), options_of(params, 1)
        full = options.get("transactionDetails", "signatures") == "full"
        limit = min(integer_of(options, "limit", 1_000, 1, 1_000), 100 if full else 1_000)
        events = [event for event in self._ordered(address, options) if _passes(event, options)]
        page = events[:limit]
        shown = [self._entry(event, full, options) for event in page]
        token = f'"{page[-1].slot}:{page[-1].order}"' if len(events) > limit else "null"
        return b'{"data":[' + b",".join(shown) + b'],"paginationToken":' + token.encode() + b"}"

    def _ordered(self, address: str, options: dict[str, Any]) -> list[Event]:
        """Return the wallet's events after the pagination token, in the requested order."""
        ascending = options.get("sortOrder", "desc") == "asc"
        events = [self.world.event(address, sequence) for sequence in self._visible(address)]
        token = options.get("paginationToken")
        if token:
            last = _token_of(token)
            events = [e for e in events if ((e.slot, e.order) > last if ascending else (e.slot, e.order) < last)]
        return events if ascending else events[::-1]

    def _entry(self, event: Event, full: bool, options: dict[str, Any]) -> bytes:
        if not full:
            return orjson.dumps(self._listed(event))
        return self._shown(event, self.world.signature(event), encoding_of(options), options)

    # -- state -------------------------------------------------------------------------------------

    def _balance(self, params: list[Any]) -> bytes:
        return _in_context(self.world.balance(address_of(params, self.state.faults)))

    def _token_accounts(self, params: list[Any]) -> bytes:
        address, chosen = address_of(params, self.state.faults), options_of(params, 1)
        if options_of(params, 2).get("encoding") != "jsonParsed":
            raise CallError(-32602, "Encoded binary (base 58) data should be less than 128 bytes, use jsonParsed")
        accounts = self.world.holdings(address)
        if "mint" in chosen:
            accounts = tuple(account for account in accounts if account.token.mint == chosen["mint"])
        elif chosen.get("programId") in _PROGRAMS:
            accounts = tuple(account for account in accounts if account.token.program == chosen["programId"])
        else:
            raise CallError(-32602, "Invalid param: unrecognized Token program id")
        return _in_context([_account(address, account) for account in accounts])

    def _block_time(self, params: list[Any]) -> bytes:
        if not params or type(params[0]) is not int:
            raise CallError(-32602, "Invalid params: invalid type, expected u64.")
        if params[0] > NEWEST_SLOT:
            raise CallError(-32004, f"Block not available for slot {params[0]}")
        return b"%d" % self.world.scenario.block_time(params[0])


def _id_of(call: object) -> object:
    return call.get("id") if isinstance(call, dict) else None


def _params_of(call: dict[str, Any]) -> list[Any]:
    params = call.get("params", [])
    if not isinstance(params, list):
        raise CallError(-32602, "`params` should be an array")
    return params


def _error_body(number: object, code: int, message: str) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": number})


def _in_context(value: object) -> bytes:
    return orjson.dumps({"context": {"apiVersion": "3.1.2", "slot": NEWEST_SLOT}, "value": value})


def _token_of(token: object) -> tuple[int, int]:
    slot, _, order = str(token).partition(":")
    if not (slot.isdecimal() and order.isdecimal()):
        raise CallError(-32602, "Invalid paginationToken")
    return int(slot), int(order)


def _passes(event: Event, options: dict[str, Any]) -> bool:
    filters = options.get("filters")
    status = filters.get("status", "any") if isinstance(filters, dict) else "any"
    return bool(status == "any" or (status == "failed") == (event.what == "failed"))


def _account(owner: str, account: Account) -> dict[str, Any]:
    program, space = _PROGRAMS[account.token.program]
    native = account.token.index == WSOL
    info = {
        "isNative": native,
        "mint": account.token.mint,
        "owner": owner,
        "state": "initialized",
        "tokenAmount": ui_amount(account.amount, account.token.decimals),
    }
    if program == "spl-token-2022":
        info["extensions"] = [{"extension": "immutableOwner"}]
    return {
        "pubkey": token_account(owner, account.token.mint),
        "account": {
            "data": {"parsed": {"info": info, "type": "account"}, "program": program, "space": space},
            "executable": False,
            "lamports": account.rent + (account.amount if native else 0),
            "owner": account.token.program,
            "rentEpoch": 18446744073709551615,
            "space": space,
        },
    }
