"""The RPC methods used here: signatures, transactions, history and holdings of an address. `pipeline/sync.py` pages.

Methods and parameters: Solana RPC documentation; getTransactionsForAddress: Helius documentation (read 2026-11-24).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tasks.errors import SourceError
from tasks.measures.transaction import Transaction
from tasks.measures.well_known import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from tasks.sources.http import HttpError
from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop
from tasks.sources.solana import rpc
from tasks.sources.solana.batching import RpcCaller
from tasks.sources.solana.endpoint import LABEL, SOURCE, Capabilities, Endpoint
from tasks.sources.solana.parse import (
    SignatureInfo,
    Signatures,
    parse_balance,
    parse_holdings,
    parse_signatures,
    parse_transaction,
    read_entries,
)
from tasks.sources.solana.rpc import Call, Outcome, RpcError

COMMITMENT = "confirmed"


@dataclass(frozen=True)
class HistoryPage:
    """One page of getTransactionsForAddress, newest first; `next_token` is None on the last.

    A damaged entry is an item with a permanent error; `unreadable` counts entries without a readable signature.
    """

    items: list[tuple[SignatureInfo, Transaction | SourceError]]
    next_token: str | None
    unreadable: int = 0


@dataclass(frozen=True)
class Holdings:
    """What an address holds now: mint → (amount in base units, decimals) without zeros, and its lamports."""

    amounts: dict[str, tuple[int, int]]
    lamports: int


class SolanaClient:
    """Client of one endpoint. Make one per job: clients of an endpoint share connections and rate within the process.

    `capabilities` are those known from before; `on_learnt` gets them after every addition. Once `stop` returns True,
    methods raise `Stopped` instead of waiting. All methods raise `SourceError`: temporary faults after four tries, or
    at once if the service asks for a pause of more than 10 s (`retry_after_s`).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        capabilities: Capabilities | None = None,
        on_learnt: Callable[[Capabilities], None] | None = None,
        stop: Stop | None = None,
        clock: Clock = CLOCK,
    ):
        self.endpoint = endpoint
        self.capabilities = capabilities if capabilities is not None else Capabilities()
        self._on_learnt = on_learnt
        self._version = max(endpoint.max_transaction_version, self.capabilities.transaction_version or 0)
        self._caller = RpcCaller(endpoint, self.capabilities, self._report_learnt, stop, clock)

    @property
    def batch_size(self) -> int:
        """The number of transactions in one request: 1 to 100, as the rate and the service allow."""
        return self._caller.batch_size

    def signatures(
        self, address: str, *, before: str | None = None, until: str | None = None, limit: int = 1000
    ) -> Signatures:
        """List transactions that name `address`, newest first, failed ones included, both bounds excluded.

        A page with fewer than `limit` (1 to 1000) `listed` entries is the last. Entries without a readable signature
        are left out and counted; one at the end of a page is listed again by the next. An unknown address gives
        an empty list. Raises a permanent `SourceError` for a full page without signatures, since no page can follow.
        """
        bounds = {"before": before, "until": until}
        options = {"limit": limit, "commitment": COMMITMENT} | {k: v for k, v in bounds.items() if v is not None}
        page = parse_signatures(self._call_one(Call("getSignaturesForAddress", [address, options])))
        if not page and page.listed >= limit:
            raise SourceError(SOURCE, f"{LABEL} listed {page.listed} signatures, none of them readable", permanent=True)
        return page

    def transactions(self, signatures: Sequence[SignatureInfo]) -> dict[str, Transaction | SourceError]:
        """Fetch transactions: signature → the transaction or its own error. No signatures give an empty dict.

        Up to `batch_size` go in one request. A transaction that the node does not have yet is a temporary error, which
        is not retried here.
        """
        wanted = {info.signature: info for info in signatures}
        answered = self._fetch(list(wanted))
        answered |= self._fetch_newer({s: o for s, o in answered.items() if _is_newer_version(o)})
        return {s: _read_transaction(outcome, wanted[s]) for s, outcome in answered.items()}

    def history(self, address: str, *, pagination_token: str | None = None, limit: int = 100) -> HistoryPage:
        """Fetch a page of an address's transactions, newest first, failed ones included, without listing them first.

        Call only if `has_history` is True. The service may return fewer than `limit`. A damaged entry fails alone.
        """
        before = self._version
        outcome = self._request_history(address, pagination_token, limit)
        if _is_newer_version(outcome) and self._accept_version([outcome]):
            outcome = self._request_history(address, pagination_token, limit)
            self._confirm_version([outcome], before)
        page = _read_history(_result(outcome))
        if page.next_token is not None and page.next_token == pagination_token:
            raise SourceError(SOURCE, f"{LABEL} gave the same page of history twice", permanent=False)
        return page

    def has_history(self, address: str) -> bool:
        """Whether the service has getTransactionsForAddress: tried once with `address`, then remembered.

        Raises `SourceError` if that is unknown for now, or if the API key is wrong.
        """
        if self.capabilities.has_history is None:
            self.capabilities.has_history = self._probe_history(address)
            self._report_learnt()
        return self.capabilities.has_history

    def holdings(self, address: str) -> Holdings:
        """Fetch the token accounts of both token programs and the balance, in one request if the service takes batches.

        An unknown address holds nothing: no amounts and 0 lamports.
        """
        programs = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
        calls = [Call("getTokenAccountsByOwner", [address, {"programId": p}, self._options()]) for p in programs]
        calls.append(Call("getBalance", [address, {"commitment": COMMITMENT}]))
        *tokens, balance = [_result(outcome) for outcome in self._caller.call(calls)]
        return Holdings(_merged(parse_holdings(raw) for raw in tokens), parse_balance(balance))

    def _report_learnt(self) -> None:
        if self._on_learnt is not None:
            self._on_learnt(self.capabilities)

    def _call_one(self, call: Call) -> object:
        return _result(self._caller.call([call])[0])

    def _options(self) -> dict[str, object]:
        return {"encoding": "jsonParsed", "commitment": COMMITMENT}

    def _transaction_options(self) -> dict[str, object]:
        return self._options() | {"maxSupportedTransactionVersion": self._version}

    def _fetch(self, signatures: Sequence[str]) -> dict[str, Outcome]:
        calls = [Call("getTransaction", [signature, self._transaction_options()]) for signature in signatures]
        return dict(zip(signatures, self._caller.call(calls), strict=True))

    def _fetch_newer(self, errors: dict[str, Outcome]) -> dict[str, Outcome]:
        """Request transactions of a newer version again. Raises nothing, because the others have arrived."""
        before = self._version
        if not errors or not self._accept_version(errors.values()):
            return {}
        try:
            answered = self._fetch(list(errors))
        except SourceError as fault:
            answered = dict.fromkeys(errors, fault)
        self._confirm_version(answered.values(), before)
        return answered

    def _accept_version(self, errors: Iterable[Outcome]) -> bool:
        """Accept the version that the errors name, otherwise the next one; False if it is accepted already."""
        wanted = max(rpc.wanted_version(error) or self._version + 1 for error in errors)
        before, self._version = self._version, max(self._version, wanted)
        return self._version > before

    def _confirm_version(self, outcomes: Iterable[Outcome], before: int) -> None:
        """Remember the raised version if it brought an answer; otherwise restore `before`."""
        if all(isinstance(outcome, SourceError) for outcome in outcomes):
            self._version = before
            return
        self.capabilities.transaction_version = self._version
        self._report_learnt()

    def _request_history(self, address: str, token: str | None, limit: int) -> Outcome:
        options = self._transaction_options() | {"transactionDetails": "full", "sortOrder": "desc", "limit": limit}
        if token is not None:
            options["paginationToken"] = token
        return self._caller.call([Call("getTransactionsForAddress", [address, options])])[0]

    def _probe_history(self, address: str) -> bool:
        options = {"transactionDetails": "signatures", "sortOrder": "desc", "limit": 1, "commitment": COMMITMENT}
        try:
            result = self._call_one(Call("getTransactionsForAddress", [address, options]))
        except SourceError as error:
            if not _is_refusal(error):
                raise
            return False
        return isinstance(result, dict) and isinstance(result.get("data"), list)


def _is_newer_version(outcome: Outcome) -> bool:
    return isinstance(outcome, RpcError) and outcome.code == rpc.UNSUPPORTED_VERSION


def _is_refusal(error: SourceError) -> bool:
    """Whether a method is missing or locked; services say so in many ways."""
    if isinstance(error, RpcError):
        return error.code not in rpc.TEMPORARY and not rpc.is_throttle(error)
    return isinstance(error, HttpError) and error.permanent and error.status != 401


def _result(outcome: Outcome) -> object:
    if isinstance(outcome, SourceError):
        raise outcome
    return outcome


def _read_transaction(outcome: Outcome, info: SignatureInfo) -> Transaction | SourceError:
    if isinstance(outcome, SourceError):
        return outcome
    if outcome is None:
        return SourceError(SOURCE, f"{LABEL} does not see the transaction yet", permanent=False)
    try:
        return parse_transaction(outcome, info.signature, info.block_at)
    except SourceError as error:
        return error


def _read_history(raw: object) -> HistoryPage:
    data = raw.get("data") if isinstance(raw, dict) else None
    token = raw.get("paginationToken") if isinstance(raw, dict) else None
    if not isinstance(data, list) or not isinstance(token, str | None):
        raise SourceError(SOURCE, f"{LABEL} answered with a history that cannot be read", permanent=True)
    infos = read_entries([_as_listed(entry) for entry in data])
    items = [(info, _read_transaction(entry, info)) for info, entry in zip(infos, data, strict=True) if info]
    return HistoryPage(items, token or None, len(data) - len(items))


def _as_listed(entry: object) -> dict[str, object]:
    """Return a full transaction in the shape of a getSignaturesForAddress entry; missing fields stay missing."""
    full = entry if isinstance(entry, dict) else {}
    inner, meta = full.get("transaction"), full.get("meta")
    signatures = inner.get("signatures") if isinstance(inner, dict) else None
    listed = {name: full.get(name) for name in ("slot", "transactionIndex", "blockTime")}
    listed["signature"] = signatures[0] if isinstance(signatures, list) and signatures else None
    return listed | {"err": meta.get("err") if isinstance(meta, dict) else None}


def _merged(parts: Iterable[dict[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    held: Counter[str] = Counter()
    decimals: dict[str, int] = {}
    for part in parts:
        for mint, (amount, places) in part.items():
            held[mint] += amount
            decimals[mint] = places
    return {mint: (amount, decimals[mint]) for mint, amount in held.items()}
