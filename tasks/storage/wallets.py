"""Wallets as read from the chain: their rows, movements, rates and unread transactions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import chunked, fn

from tasks.measures.trades import Derived, Movement, Observation
from tasks.storage import database, sql, tokens
from tasks.storage.models.base import db
from tasks.storage.models.wallets import Movement as MovementRow
from tasks.storage.models.wallets import RateObservation, Unread, Wallet
from tasks.storage.sync_cursor import Cursor

CHUNK = 500
DAY_S = 86_400
MAX_INTEGER = 2**63 - 1  # of a 64-bit column
SIDES: tuple[Any, ...] = ("buy", "sell", "in", "out", "failed")
FAILED = SIDES.index("failed")
MOVEMENT_FIELDS = (
    MovementRow.wallet_id,
    MovementRow.sync_no,
    MovementRow.slot,
    MovementRow.transaction_index,
    MovementRow.block_at,
    MovementRow.signature,
    MovementRow.side,
    MovementRow.mint_id,
    MovementRow.amount,
    MovementRow.decimals,
    MovementRow.quote,
    MovementRow.quote_amount,
    MovementRow.parts,
    MovementRow.approximate,
)
MOVEMENTS_READ = (
    "SELECT m.signature, m.slot, m.transaction_index, m.block_at, m.side, m.amount, t.mint, m.decimals, m.quote, "
    "m.quote_amount, m.parts, m.approximate, m.mint_id FROM movement m LEFT JOIN token t ON t.id = m.mint_id "
    "WHERE m.wallet_id = ? AND m.sync_no <= ? AND m.slot >= ?"
)
OBSERVATION_FIELDS = (
    RateObservation.wallet_id,
    RateObservation.sync_no,
    RateObservation.signature,
    RateObservation.block_at,
    RateObservation.usd,
    RateObservation.lamports,
)


@dataclass(frozen=True, slots=True)
class FetchedTransaction:
    """A signature and its transaction: derived, failed on chain (neither), or unread with the reason."""

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int | None
    derived: Derived | None = None
    unread: str | None = None
    permanent: bool = False


def ensure_wallets(addresses: Iterable[str]) -> dict[str, int]:
    """Register addresses and return the id of each."""
    ordered = sorted(set(addresses))
    with database.write():
        sql.insert_rows(Wallet, (Wallet.address,), [(address,) for address in ordered])
    return known_wallets(ordered)


def known_wallets(addresses: Iterable[str]) -> dict[str, int]:
    """Return address → id of those that are registered."""
    found: dict[str, int] = {}
    for part in chunked(sorted(set(addresses)), CHUNK):
        found.update(Wallet.select(Wallet.address, Wallet.id).where(Wallet.address.in_(part)).tuples())
    return found


def fresh_wallets(ids: Iterable[int], ttl_s: float) -> set[int]:
    """Return the ids of the wallets that were synced without error less than `ttl_s` ago."""
    limit = database.now_s() - ttl_s
    fresh: set[int] = set()
    for part in chunked(ids, CHUNK):
        query = Wallet.select(Wallet.id).where(Wallet.id.in_(part), Wallet.state == "synced", Wallet.synced_at >= limit)
        fresh.update(row[0] for row in query.tuples())
    return fresh


def store_transactions(wallet_id: int, sync_no: int, fetched: Sequence[FetchedTransaction]) -> None:
    """Store a batch of transactions. Repeating a batch changes nothing."""
    movements = [movement for one in fetched if one.derived for movement in one.derived.movements]
    mint_ids = tokens.ensure_mints({movement.mint: movement.decimals for movement in movements})
    rows = [_movement_row(wallet_id, sync_no, movement, mint_ids[movement.mint]) for movement in movements]
    rows += [_failed_row(wallet_id, sync_no, one) for one in fetched if one.derived is None and one.unread is None]
    observed = [one.derived.observation for one in fetched if one.derived and one.derived.observation]
    sql.insert_rows(MovementRow, MOVEMENT_FIELDS, rows)
    sql.insert_rows(RateObservation, OBSERVATION_FIELDS, [_observation(wallet_id, sync_no, o) for o in observed])
    _store_unread(wallet_id, fetched)


def fits(derived: Derived) -> bool:
    """Whether the amounts of a transaction fit 64-bit columns; larger ones are not real amounts of SOL or dollars."""
    values = [movement.quote_amount or 0 for movement in derived.movements]
    if derived.observation:
        values += [derived.observation.usd, derived.observation.lamports]
    return max(values, default=0) <= MAX_INTEGER


def _movement_row(wallet_id: int, sync_no: int, movement: Movement, mint_id: int) -> tuple[Any, ...]:
    return (
        wallet_id,
        sync_no,
        movement.slot,
        movement.transaction_index,
        movement.block_at,
        movement.signature,
        SIDES.index(movement.side),
        mint_id,
        str(movement.amount),
        movement.decimals,
        movement.quote,
        movement.quote_amount,
        movement.parts,
        movement.approximate,
    )


def _failed_row(wallet_id: int, sync_no: int, one: FetchedTransaction) -> tuple[Any, ...]:
    where = (wallet_id, sync_no, one.slot, one.transaction_index, one.block_at, one.signature)
    return (*where, FAILED, tokens.NO_MINT, None, None, None, None, 1, False)


def _observation(wallet_id: int, sync_no: int, observed: Observation) -> tuple[Any, ...]:
    return (wallet_id, sync_no, observed.signature, observed.block_at, observed.usd, observed.lamports)


def _store_unread(wallet_id: int, fetched: Sequence[FetchedTransaction]) -> None:
    """Store why each unread transaction could not be read, and delete the rows of those that now could be."""
    signatures = [one.signature for one in fetched]
    for part in chunked(signatures, CHUNK):
        Unread.delete().where(Unread.wallet_id == wallet_id, Unread.signature.in_(part)).execute()
    fields = (
        Unread.wallet_id,
        Unread.signature,
        Unread.slot,
        Unread.transaction_index,
        Unread.block_at,
        Unread.reason,
        Unread.permanent,
    )
    rows = [
        (wallet_id, one.signature, one.slot, one.transaction_index, one.block_at, one.unread, one.permanent)
        for one in fetched
        if one.unread is not None
    ]
    sql.insert_rows(Unread, fields, rows)


def unread(wallet_id: int, *, temporary_only: bool = False, most: int = 1000) -> list[FetchedTransaction]:
    """Return at most `most` transactions of a wallet that could not be read, newest first."""
    query = Unread.select().where(Unread.wallet_id == wallet_id).order_by(Unread.slot.desc(), Unread.id).limit(most)
    if temporary_only:
        query = query.where(~Unread.permanent)
    return [
        FetchedTransaction(
            row.signature, row.slot, row.transaction_index, row.block_at, None, row.reason, row.permanent
        )
        for row in query
    ]


def count_unread(wallet_id: int) -> int:
    """Return how many transactions of a wallet could not be read."""
    return int(Unread.select(fn.count(Unread.id)).where(Unread.wallet_id == wallet_id).scalar())


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which rows of a wallet a reader may see: of the first `sync_no` syncs, from `oldest_slot` on (None: all)."""

    wallet_id: int
    sync_no: int
    oldest_slot: int | None


def movements(bounds: Bounds) -> tuple[list[Movement], list[tuple[str, int, int | None, int | None]]]:
    """Return a wallet's trades and transfers, and its failed transactions, both by time.

    A failed transaction is (signature, slot, transaction index, time).
    """
    rows = _movement_rows(bounds)
    found, failed = [], []
    for signature, slot, index, block_at, side, amount, mint, decimals, quote, quote_amount, parts, approx, _ in rows:
        if side == FAILED:
            failed.append((signature, slot, index, block_at))
            continue
        found.append(
            Movement(
                signature, slot, index, block_at, SIDES[side], mint, int(amount), decimals, quote, quote_amount, parts,
                bool(approx),
            )
        )  # fmt: skip
    return found, failed


def _movement_rows(bounds: Bounds) -> list[tuple[Any, ...]]:
    rows = sql.rows(MOVEMENTS_READ, bounds.wallet_id, bounds.sync_no, bounds.oldest_slot or 0)
    return sorted(rows, key=lambda row: (row[1], row[2] if row[2] is not None else -1, row[0], row[12]))


def observations(all_bounds: Iterable[Bounds]) -> Iterator[tuple[int, int, int]]:
    """Yield (time, 1e-6 USD, lamports) of every swap between SOL and dollars that the wallets signed."""
    by_wallet = {bounds.wallet_id: bounds for bounds in all_bounds}
    o = RateObservation
    for part in chunked(sorted(by_wallet), CHUNK):
        query = o.select(o.wallet_id, o.sync_no, o.block_at, o.usd, o.lamports).where(o.wallet_id.in_(part))
        for wallet_id, sync_no, block_at, usd, lamports in query.tuples():
            if sync_no <= by_wallet[wallet_id].sync_no:
                yield block_at, usd, lamports


def finish_sync(wallet: Wallet, cursor: Cursor, state: str, reason: str | None) -> None:
    """Make what a sync read visible, with its bounds. Call inside the write transaction that ends its job.

    With a hole (`Cursor`), only what this sync read counts.
    """
    values: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "synced_at": database.clock(),
        "syncs": Wallet.syncs + 1,
        "transactions": cursor.done + (0 if cursor.hole else wallet.transactions),
    }
    if cursor.newest:
        values |= {"newest_slot": cursor.newest[0], "newest_signature": cursor.newest[1]}
    if cursor.oldest:
        values |= {"oldest_slot": cursor.oldest[0], "oldest_signature": cursor.oldest[1]}
    if cursor.oldest or wallet.oldest_slot is None:
        values["truncated"] = cursor.truncated
    Wallet.update(**values).where(Wallet.id == wallet.id).execute()


def mark_sync_failed(wallet: Wallet, reason: str) -> None:
    """Record a failed sync; what earlier syncs read stays visible."""
    state = "partial" if wallet.syncs else "failed"
    Wallet.update(state=state, reason=reason).where(Wallet.id == wallet.id).execute()


def store_holdings(wallet_id: int, amounts: Mapping[str, tuple[int, int]], lamports: int) -> None:
    """Store the present holdings of a wallet (mint → base units and decimals) and its lamports."""
    ids = tokens.ensure_mints({mint: decimals for mint, (_, decimals) in amounts.items()})
    held = {str(ids[mint]): str(amount) for mint, (amount, _) in amounts.items()}
    Wallet.update(holdings=json.dumps(held), lamports=lamports).where(Wallet.id == wallet_id).execute()


def days_quoted_in_usd(wallet_ids: Iterable[int]) -> list[int]:
    """Return the days (since 1970, UTC), ascending, on which the wallets traded against dollars."""
    m = MovementRow
    days: set[int] = set()
    for part in chunked(sorted(set(wallet_ids)), CHUNK):
        query = m.select(m.block_at / DAY_S).where(m.wallet_id.in_(part), m.quote.in_(("USDC", "USDT"))).distinct()
        days.update(day for (day,) in db.execute(query).fetchall())
    return sorted(days)
