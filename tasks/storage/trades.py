"""The stored trades of many wallets at once, as plain rows. One wallet's movements of every kind are `wallets.py`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.storage.models.base import db
from tasks.storage.models.wallets import Movement, Wallet
from tasks.storage.wallets import SIDES, Bounds

WALLETS_PER_READ = 300
ROWS_PER_READ = 30_000
"""About so many rows are held at once, 25 MB of Python's objects; a wallet with more is read by itself."""
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
    """What may be seen of a wallet, and of how many transactions that is: about the rows that reading it gives."""

    bounds: Bounds
    transactions: int


def read(seen: Sequence[ReadableWallet], *, background: bool = False) -> Iterator[tuple[Sequence[Bounds], list[Any]]]:
    """Yield some wallets and all trades of theirs as rows of COLUMNS, until every wallet was read.

    One query for each part, by the plain cursor: peewee's rows cost a multiple of what the database does. The rows
    reach beyond the bounds; who reads them compares `sync_no` and `slot`. With `background` only BACKGROUND_COLUMNS.
    """
    columns = BACKGROUND_COLUMNS if background else COLUMNS
    for part in parts([one.transactions for one in seen]):
        bounds = [one.bounds for one in seen[part]]
        query = m.select(*columns).where(m.wallet_id.in_([one.wallet_id for one in bounds]), m.side.in_(TRADES))
        yield bounds, db.execute(query).fetchall()


def parts(transactions: Sequence[int]) -> Iterator[slice]:
    """Cut wallets, given by their numbers of transactions, into runs that can be read at once; none for no wallet."""
    start = rows = 0
    for place, count in enumerate(transactions):
        if place > start and (rows + count > ROWS_PER_READ or place - start == WALLETS_PER_READ):
            yield slice(start, place)
            start, rows = place, 0
        rows += count
    if start < len(transactions):
        yield slice(start, len(transactions))


def others(than: Collection[int]) -> list[ReadableWallet]:
    """Return what may be seen now of every wallet that was ever synced, those with the ids named left out."""
    w = Wallet
    query = w.select(w.id, w.syncs, w.oldest_slot, w.transactions).where(w.syncs > 0).order_by(w.id)
    rows = db.execute(query).fetchall()
    return [ReadableWallet(Bounds(*bounds), count) for *bounds, count in rows if bounds[0] not in than]
