"""The stored trades of many wallets at once, as plain rows. One wallet's movements of every kind are `wallets.py`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tasks.records import database
from tasks.records.models import Movement, Wallet
from tasks.records.wallets import SIDES, Bounds

WALLETS_PER_READ = 300
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


def read(all_bounds: Sequence[Bounds], *, background: bool = False) -> Iterator[tuple[Sequence[Bounds], list[Any]]]:
    """Yield some wallets and all trades of theirs as rows of COLUMNS, until every wallet was read.

    One query for each part, by the plain cursor: peewee's rows cost a multiple of what the database does. The rows
    reach beyond the bounds; who reads them compares `sync_no` and `slot`. With `background` only BACKGROUND_COLUMNS.
    """
    columns = BACKGROUND_COLUMNS if background else COLUMNS
    for start in range(0, len(all_bounds), WALLETS_PER_READ):
        part = all_bounds[start : start + WALLETS_PER_READ]
        ids = [bounds.wallet_id for bounds in part]
        query = m.select(*columns).where(m.wallet_id.in_(ids), m.side.in_(TRADES))
        yield part, database.db.execute(query).fetchall()


def others(than: Collection[int]) -> list[Bounds]:
    """Return what may be seen now of every wallet that was ever synced, those with the ids named left out."""
    query = Wallet.select(Wallet.id, Wallet.syncs, Wallet.oldest_slot).where(Wallet.syncs > 0).order_by(Wallet.id)
    return [Bounds(*row) for row in database.db.execute(query).fetchall() if row[0] not in than]
