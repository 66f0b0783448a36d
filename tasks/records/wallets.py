"""Wallets as read from the chain: their rows, their movements, and where an unfinished sync stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peewee import chunked, fn

from tasks.analysis.trades import Derived, Movement
from tasks.analysis.trades import Observation as Observed
from tasks.records import database, models, tokens
from tasks.records.models import RateObservation, SyncCursor, Unread, Wallet

CHUNK = 500
DAY_S = 86_400
MOST = 2**63 - 1  # the largest number that a column of 64 bits holds
SIDES: tuple[Any, ...] = ("buy", "sell", "in", "out", "failed")
FAILED = SIDES.index("failed")
MOVEMENT_FIELDS = (
    models.Movement.wallet_id,
    models.Movement.sync_no,
    models.Movement.slot,
    models.Movement.transaction_index,
    models.Movement.block_at,
    models.Movement.signature,
    models.Movement.side,
    models.Movement.mint_id,
    models.Movement.amount,
    models.Movement.decimals,
    models.Movement.quote,
    models.Movement.quote_amount,
    models.Movement.parts,
    models.Movement.approximate,
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
class Looked:
    """A signature that was looked at and what became of it: derived, failed on chain, or unreadable with a reason."""

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int | None
    derived: Derived | None = None
    unread: str | None = None
    permanent: bool = False


@dataclass(slots=True)
class Cursor:
    """Where a sync stands; kept after every batch, so that a killed one goes on from there.

    `ranges` are the stretches of history still to read, newest first, each {"before", "until", "until_slot", "left",
    "token", "listed"}; `page` the signatures of the first range that were listed last, of which `position` are done;
    `unlisted` how ranges, newest, truncated and hole stood before that page was listed.
    `done` counts the signatures looked at, `listed` those known to be there. `newest`, `oldest` and `last` are
    (slot, signature); `hole` says that the history limit left a gap above what an earlier sync had read.
    """

    ranges: list[dict[str, Any]]
    page: list[list[Any]] = field(default_factory=list)
    position: int = 0
    done: int = 0
    listed: int = 0
    stage: str = "history"
    newest: list[Any] | None = None
    oldest: list[Any] | None = None
    last: list[Any] | None = None
    truncated: bool = False
    hole: bool = False
    unlisted: dict[str, Any] | None = None
    reason: str | None = None


CURSOR_STATE = (
    "ranges",
    "done",
    "listed",
    "stage",
    "newest",
    "oldest",
    "last",
    "truncated",
    "hole",
    "unlisted",
    "reason",
)


def ensure_wallets(addresses: Iterable[str]) -> dict[str, int]:
    """Register addresses and return the id of each."""
    wanted = sorted(set(addresses))
    with database.write():
        database.insert_rows(Wallet, (Wallet.address,), [(address,) for address in wanted])
    return known_wallets(wanted)


def known_wallets(addresses: Iterable[str]) -> dict[str, int]:
    """Return the ids of those addresses that are registered."""
    found: dict[str, int] = {}
    for part in chunked(sorted(set(addresses)), CHUNK):
        found.update(Wallet.select(Wallet.address, Wallet.id).where(Wallet.address.in_(part)).tuples())
    return found


def fresh_wallets(ids: Iterable[int], ttl_s: float) -> set[int]:
    """Return those of the wallets that were synced without error less than `ttl_s` ago."""
    limit = database.now_s() - ttl_s
    fresh: set[int] = set()
    for part in chunked(ids, CHUNK):
        query = Wallet.select(Wallet.id).where(Wallet.id.in_(part), Wallet.state == "synced", Wallet.synced_at >= limit)
        fresh.update(row[0] for row in query.tuples())
    return fresh


def load_cursor(wallet_id: int) -> Cursor | None:
    """Return where the wallet's unfinished sync stands, None when there is none."""
    row = SyncCursor.get_or_none(SyncCursor.wallet_id == wallet_id)
    if row is None:
        return None
    return Cursor(page=json.loads(row.page), position=row.position, **json.loads(row.state))


def save_cursor(wallet_id: int, cursor: Cursor, *, with_page: bool = True) -> None:
    """Keep where a sync stands; the page, which is large, only when it changed."""
    state = json.dumps({name: getattr(cursor, name) for name in CURSOR_STATE})
    if not with_page:
        SyncCursor.update(state=state, position=cursor.position).where(SyncCursor.wallet_id == wallet_id).execute()
        return
    kept = [SyncCursor.state, SyncCursor.position, SyncCursor.page]
    SyncCursor.insert(
        wallet_id=wallet_id, state=state, position=cursor.position, page=json.dumps(cursor.page)
    ).on_conflict(conflict_target=[SyncCursor.wallet_id], preserve=kept).execute()


def drop_cursor(wallet_id: int) -> None:
    """Forget where a sync stood: it is done."""
    SyncCursor.delete().where(SyncCursor.wallet_id == wallet_id).execute()


def store_looked(wallet_id: int, sync_no: int, looked: Sequence[Looked]) -> None:
    """Record what became of a batch of signatures. Repeating a batch changes nothing."""
    movements = [movement for one in looked if one.derived for movement in one.derived.movements]
    mint_ids = tokens.ensure_mints({movement.mint: movement.decimals for movement in movements})
    rows = [_movement_row(wallet_id, sync_no, movement, mint_ids[movement.mint]) for movement in movements]
    rows += [_failed_row(wallet_id, sync_no, one) for one in looked if one.derived is None and one.unread is None]
    observed = [one.derived.observation for one in looked if one.derived and one.derived.observation]
    database.insert_rows(models.Movement, MOVEMENT_FIELDS, rows)
    database.insert_rows(RateObservation, OBSERVATION_FIELDS, [_observation(wallet_id, sync_no, o) for o in observed])
    _store_unread(wallet_id, looked)


def fits(derived: Derived) -> bool:
    """Whether the values of a transaction fit the columns; what does not is no real amount of SOL or dollars."""
    values = [movement.quote_amount or 0 for movement in derived.movements]
    if derived.observation:
        values += [derived.observation.usd, derived.observation.lamports]
    return max(values, default=0) <= MOST


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


def _failed_row(wallet_id: int, sync_no: int, one: Looked) -> tuple[Any, ...]:
    where = (wallet_id, sync_no, one.slot, one.transaction_index, one.block_at, one.signature)
    return (*where, FAILED, tokens.NO_MINT, None, None, None, None, 1, False)


def _observation(wallet_id: int, sync_no: int, observed: Observed) -> tuple[Any, ...]:
    return (wallet_id, sync_no, observed.signature, observed.block_at, observed.usd, observed.lamports)


def _store_unread(wallet_id: int, looked: Sequence[Looked]) -> None:
    """Keep the reason of each signature that could not be read, and drop the rows of those that now could."""
    settled = [one.signature for one in looked]
    for part in chunked(settled, CHUNK):
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
        for one in looked
        if one.unread is not None
    ]
    database.insert_rows(Unread, fields, rows)


def unread(wallet_id: int, *, temporary_only: bool = False, most: int = 1000) -> list[Looked]:
    """Return the signatures of a wallet that could not be read, newest first, at most `most`."""
    query = Unread.select().where(Unread.wallet_id == wallet_id).order_by(Unread.slot.desc(), Unread.id).limit(most)
    if temporary_only:
        query = query.where(~Unread.permanent)
    return [
        Looked(row.signature, row.slot, row.transaction_index, row.block_at, None, row.reason, row.permanent)
        for row in query
    ]


def count_unread(wallet_id: int) -> int:
    """Return how many signatures of a wallet could not be read."""
    return int(Unread.select(fn.count(Unread.id)).where(Unread.wallet_id == wallet_id).scalar())


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which of a wallet's rows a reader may see: those of finished syncs, not older than the oldest slot looked at."""

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
    rows = database.rows(MOVEMENTS_READ, bounds.wallet_id, bounds.sync_no, bounds.oldest_slot or 0)
    return sorted(rows, key=lambda row: (row[1], row[2] if row[2] is not None else -1, row[0], row[12]))


def observations(all_bounds: Iterable[Bounds]) -> Iterator[tuple[int, int, int]]:
    """Yield (time, USD in 1e-6, lamports) of every swap between SOL and dollars that the wallets signed."""
    by_wallet = {bounds.wallet_id: bounds for bounds in all_bounds}
    o = RateObservation
    for part in chunked(sorted(by_wallet), CHUNK):
        query = o.select(o.wallet_id, o.sync_no, o.block_at, o.usd, o.lamports).where(o.wallet_id.in_(part))
        for wallet_id, sync_no, block_at, usd, lamports in query.tuples():
            if sync_no <= by_wallet[wallet_id].sync_no:
                yield block_at, usd, lamports


def finish_sync(wallet: Wallet, cursor: Cursor, state: str, reason: str | None) -> None:
    """Close a sync: what it read becomes visible, with its bounds. Call inside the write transaction that ends its job.

    Above a hole that the history limit left, only what this sync read counts.
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


def stay_behind(wallet: Wallet, reason: str) -> None:
    """Record that a wallet could not be brought up to date; what earlier syncs read stays visible."""
    state = "partial" if wallet.syncs else "failed"
    Wallet.update(state=state, reason=reason).where(Wallet.id == wallet.id).execute()


def store_holdings(wallet_id: int, amounts: Mapping[str, tuple[int, int]], lamports: int) -> None:
    """Record what a wallet holds now (mint → base units and decimals) and its lamports."""
    ids = tokens.ensure_mints({mint: decimals for mint, (_, decimals) in amounts.items()})
    held = {str(ids[mint]): str(amount) for mint, (amount, _) in amounts.items()}
    Wallet.update(holdings=json.dumps(held), lamports=lamports).where(Wallet.id == wallet_id).execute()


def days_quoted_in_usd(wallet_ids: Iterable[int]) -> list[int]:
    """Return the days (since 1970, UTC) on which the wallets made trades that were quoted in dollars."""
    m = models.Movement
    days: set[int] = set()
    for part in chunked(sorted(set(wallet_ids)), CHUNK):
        query = m.select(m.block_at / DAY_S).where(m.wallet_id.in_(part), m.quote.in_(("USDC", "USDT"))).distinct()
        days.update(day for (day,) in database.db.execute(query).fetchall())
    return sorted(days)
