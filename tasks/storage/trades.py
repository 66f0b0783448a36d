"""The stored trades of many wallets as plain rows. `wallets.movements` reads one wallet's movements of every kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.storage.models.base import db
from tasks.storage.models.wallets import Movement, Wallet
from tasks.storage.wallets import SIDES, Bounds

WALLETS_PER_READ = 300
ROWS_PER_READ = 30_000
"""About so many rows are in memory at once (25 MB of objects); a wallet with more is read alone."""
TRADES = (SIDES.index("buy"), SIDES.index("sell"))
m = Movement
BACKGROUND_COLUMNS = (m.wallet_id, m.sync_no, m.slot, m.block_at, m.side, m.mint_id)
COLUMNS = (
    *BACKGROUND_COLUMNS,
    m.transaction_index,
    m.signature,
    m.amount,
    m.quote,
    m.quote_amount,
    m.parts,
)


@dataclass(frozen=True, slots=True)
class ReadableWallet:
    """The bounds of a wallet, and its number of transactions: about the number of its rows."""

    bounds: Bounds
    transactions: int


def read(
    wallets: Sequence[ReadableWallet], *, background: bool = False
) -> Iterator[tuple[Sequence[Bounds], list[Any]]]:
    """Yield the wallets in parts, each with all its trades as rows of COLUMNS (with `background` BACKGROUND_COLUMNS).

    Rows beyond the bounds are included: the caller compares `sync_no` and `slot`. The plain cursor, since peewee's rows
    take several times as long as the query.
    """
    columns = BACKGROUND_COLUMNS if background else COLUMNS
    for part in parts([one.transactions for one in wallets]):
        bounds = [one.bounds for one in wallets[part]]
        query = m.select(*columns).where(m.wallet_id.in_([one.wallet_id for one in bounds]), m.side.in_(TRADES))
        yield bounds, db.execute(query).fetchall()


def parts(transactions: Sequence[int]) -> Iterator[slice]:
    """Yield slices of wallets, given by their numbers of transactions, of at most WALLETS_PER_READ or ROWS_PER_READ."""
    start = rows = 0
    for index, count in enumerate(transactions):
        if index > start and (rows + count > ROWS_PER_READ or index - start == WALLETS_PER_READ):
            yield slice(start, index)
            start, rows = index, 0
        rows += count
    if start < len(transactions):
        yield slice(start, len(transactions))


def others(wallet_ids: Collection[int]) -> list[ReadableWallet]:
    """Return every wallet that was ever synced, with its present bounds, except those with these ids."""
    w = Wallet
    query = w.select(w.id, w.syncs, w.oldest_slot, w.transactions).where(w.syncs > 0).order_by(w.id)
    rows = db.execute(query).fetchall()
    return [ReadableWallet(Bounds(*bounds), count) for *bounds, count in rows if bounds[0] not in wallet_ids]
