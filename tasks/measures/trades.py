"""The trades and transfers of a wallet in one transaction, and the SOL price observed there.

Section 1 of docs/measures.md: from integer balance changes alone, so that every exchange, router and bot is covered
alike; no instruction is read, and values stay in their quote (`allocation` converts them to SOL).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.measures.transaction import TokenBalance, Transaction
from tasks.measures.well_known import USDC, USDT, WSOL

Side = Literal["buy", "sell", "in", "out"]
Quote = Literal["SOL", "USDC", "USDT"]
Value = tuple[Quote, int]

SOL_DUST = 10_000
"""Lamports: SOL that moved the opposite way by at most this is no payment."""
MOST_RENT = 10_000_000
"""Lamports: a larger deposit into another owner's new account is a payment, not rent."""
ROUTE_SOL_LEAST = 10_000
"""Lamports: the smallest gain and loss of SOL that passes through a route."""
ROUTE_USD_LEAST = 1
OBSERVED_SOL_LEAST = 10_000_000
"""Lamports: a rate is observed only where more SOL than this moved."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One token that moved for one wallet in one transaction.

    `side` is `buy` or `sell` for a trade, `in` or `out` for a transfer. `amount` is positive, in base units of the
    mint. `quote_amount` is the whole value in base units of `quote`, before it is split into `parts` equal parts;
    both are None where the value is unknown. `approximate` says that the value was split. `block_at`: Unix seconds.
    """

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int
    side: Side
    mint: str
    amount: int
    decimals: int
    quote: Quote | None
    quote_amount: int | None
    parts: int
    approximate: bool


@dataclass(frozen=True, slots=True)
class Observation:
    """SOL exchanged for dollars and nothing else: `usd` (1e-6 USD) for `lamports`, both positive."""

    signature: str
    block_at: int
    usd: int
    lamports: int


@dataclass(frozen=True, slots=True)
class Derived:
    """The result for one wallet and transaction; movements are sells before buys, by mint."""

    movements: tuple[Movement, ...]
    observation: Observation | None


@dataclass(frozen=True, slots=True)
class _Changes:
    """Post − pre of one wallet: its own account indices, tokens by mint (no zeros), dollars and lamports."""

    own: frozenset[int]
    tokens: Mapping[str, int]
    usdc: int
    usdt: int
    lamports: int


def derive(transaction: Transaction, wallet: str) -> Derived:
    """Derive the movements of one wallet in one transaction: steps 1 to 8 of section 1 of docs/measures.md.

    A failed transaction, and one that moved nothing of the wallet, give no movement and no observation.
    """
    if transaction.failed:
        return Derived((), None)
    changes = _changes(transaction, wallet)
    if wallet not in transaction.signers:
        return Derived(tuple(_transfers(transaction, changes.tokens)), None)
    if changes.tokens:
        return Derived(tuple(_movements(transaction, wallet, changes)), None)
    return Derived((), _observation(transaction, changes))


def _changes(transaction: Transaction, wallet: str) -> _Changes:
    """Sum the changes of a wallet (steps 1 to 3); wSOL counts with the lamports of its accounts."""
    own = _own_accounts(transaction, wallet)
    tokens: defaultdict[str, int] = defaultdict(int)
    for sign, balance in _signed_balances(transaction):
        if balance.owner == wallet:
            tokens[balance.mint] += sign * balance.amount
    tokens.pop(WSOL, None)
    usdc, usdt = tokens.pop(USDC, 0), tokens.pop(USDT, 0)
    lamports = sum(transaction.post[index] - transaction.pre[index] for index in own)
    if wallet == transaction.fee_payer:
        lamports += transaction.fee
    return _Changes(own, {mint: moved for mint, moved in tokens.items() if moved}, usdc, usdt, lamports)


def _own_accounts(transaction: Transaction, wallet: str) -> frozenset[int]:
    """Return the indices of the wallet itself and of every token account that it owns before or after.

    An account that changes owner in the transaction counts for both owners.
    """
    held = {balance.account_index for _, balance in _signed_balances(transaction) if balance.owner == wallet}
    return frozenset(held | {index for index, key in enumerate(transaction.keys) if key == wallet})


def _signed_balances(transaction: Transaction) -> Iterator[tuple[int, TokenBalance]]:
    """Yield every token balance with its sign in post − pre."""
    for balance in transaction.pre_tokens:
        yield -1, balance
    for balance in transaction.post_tokens:
        yield 1, balance


def _movements(transaction: Transaction, wallet: str, changes: _Changes) -> Iterator[Movement]:
    """Yield the trades or transfers of a wallet that signed (steps 5 and 6)."""
    up = {mint: moved for mint, moved in changes.tokens.items() if moved > 0}
    down = {mint: moved for mint, moved in changes.tokens.items() if moved < 0}
    if up and down:
        value = _passed_through(transaction, changes.own)
    else:
        value = _counterpart(transaction, wallet, changes, buying=bool(up))
        if value is None:
            yield from _transfers(transaction, changes.tokens)
            return
    yield from _trades(transaction, "sell", down, value)
    yield from _trades(transaction, "buy", up, value)


def _counterpart(transaction: Transaction, wallet: str, changes: _Changes, *, buying: bool) -> Value | None:
    """Return the payment for tokens bought or sold: dollars of any size, otherwise SOL above dust."""
    sign = -1 if buying else 1
    usd = sign * (changes.usdc + changes.usdt)
    if usd > 0:
        return _usd_name(changes.usdc, changes.usdt), usd
    lamports = sign * changes.lamports
    if buying and wallet == transaction.fee_payer:
        lamports -= _rent_for_others(transaction, changes.own)
    return ("SOL", lamports) if lamports > SOL_DUST else None


def _usd_name(usdc: int, usdt: int) -> Quote:
    """Return the name of a sum of both: the one that moved more."""
    return "USDT" if abs(usdt) > abs(usdc) else "USDC"


def _rent_for_others(transaction: Transaction, own: Collection[int]) -> int:
    """Sum the small deposits into new accounts of other owners, so that a claim is no purchase."""
    balances = enumerate(zip(transaction.pre, transaction.post, strict=True))
    return sum(post for index, (pre, post) in balances if index not in own and pre == 0 and post <= MOST_RENT)


def _passed_through(transaction: Transaction, own: Collection[int]) -> Value | None:
    """Return the amount of the quote asset that passed through a token-for-token route, None without one."""
    balances = enumerate(zip(transaction.pre, transaction.post, strict=True))
    lamports = [post - pre for index, (pre, post) in balances if index not in own]
    sol = _matched(lamports, ROUTE_SOL_LEAST)
    if sol is not None:
        return "SOL", sol
    usdc, usdt = _usd_by_account(transaction, own, USDC), _usd_by_account(transaction, own, USDT)
    both = [usdc.get(index, 0) + usdt.get(index, 0) for index in usdc.keys() | usdt.keys()]
    usd = _matched(both, ROUTE_USD_LEAST)
    if usd is None:
        return None
    return _usd_name(max(map(abs, usdc.values()), default=0), max(map(abs, usdt.values()), default=0)), usd


def _usd_by_account(transaction: Transaction, own: Collection[int], mint: str) -> dict[int, int]:
    """Sum the changes of one dollar mint by token account, without the wallet's own."""
    moved: defaultdict[int, int] = defaultdict(int)
    for sign, balance in _signed_balances(transaction):
        if balance.mint == mint and balance.account_index not in own:
            moved[balance.account_index] += sign * balance.amount
    return dict(moved)


def _matched(changes: Collection[int], least: int) -> int | None:
    """Return the larger of the largest gain and loss, when both are at least `least` and differ by at most 5 %."""
    gain, loss = max(changes, default=0), -min(changes, default=0)
    larger, smaller = max(gain, loss), min(gain, loss)
    return larger if smaller >= least and 20 * (larger - smaller) <= larger else None


def _trades(transaction: Transaction, side: Side, moved: Mapping[str, int], value: Value | None) -> Iterator[Movement]:
    """Yield the trades of one side; several tokens share the value in equal parts."""
    for mint in sorted(moved):
        yield _movement(transaction, side, mint, moved[mint], value, len(moved))


def _transfers(transaction: Transaction, moved: Mapping[str, int]) -> Iterator[Movement]:
    """Yield the transfers, outgoing first."""
    for mint in sorted(moved, key=lambda mint: (moved[mint] > 0, mint)):
        yield _movement(transaction, "in" if moved[mint] > 0 else "out", mint, moved[mint], None, 1)


def _movement(transaction: Transaction, side: Side, mint: str, moved: int, value: Value | None, parts: int) -> Movement:
    quote, quote_amount = value if value is not None else (None, None)
    balances = transaction.pre_tokens + transaction.post_tokens
    return Movement(
        signature=transaction.signature,
        slot=transaction.slot,
        transaction_index=transaction.transaction_index,
        block_at=transaction.block_at,
        side=side,
        mint=mint,
        amount=abs(moved),
        decimals=next(balance.decimals for balance in balances if balance.mint == mint),
        quote=quote,
        quote_amount=quote_amount,
        parts=parts,
        approximate=parts > 1,
    )


def _observation(transaction: Transaction, changes: _Changes) -> Observation | None:
    """Return the SOL price of an exchange of SOL for dollars (step 7)."""
    usd, lamports = changes.usdc + changes.usdt, changes.lamports
    if abs(lamports) <= OBSERVED_SOL_LEAST or usd * lamports >= 0:
        return None
    return Observation(transaction.signature, transaction.block_at, abs(usd), abs(lamports))
