"""Wallets that were synced a moment ago, written straight into the database: what they traded is the test's to say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.jobs import executor
from tasks.measures.trades import Movement
from tasks.pipeline import start
from tasks.storage import database, sql, tokens, wallets
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.wallets import Movement as MovementRow
from tasks.storage.models.wallets import Wallet

START_AT = 1_790_000_000
SIDES = ("buy", "sell", "in", "out")


@dataclasses.dataclass(frozen=True)
class Made:
    """A trade (or transfer) to be stored: the second counts from START_AT, two and a half slots to each."""

    second: int
    mint: str
    side: str = "buy"
    sol: float = 1.0
    amount: int = 1_000_000
    signature: str | None = None
    index: int | None = None

    def movement(self, number: int) -> Movement:
        return Movement(
            signature=self.signature or f"signature {number:06d}",
            slot=self.second * 5 // 2,
            transaction_index=self.index,
            block_at=START_AT + self.second,
            side=self.side,
            mint=self.mint,
            amount=self.amount,
            decimals=6,
            quote="SOL",
            quote_amount=round(self.sol * 10**9),
            parts=1,
            approximate=False,
        )


_numbers = iter(range(10**9))


def sync(address: str, made: Sequence[Made], holdings: Mapping[str, int] | None = None) -> list[Movement]:
    """Store what a sync of a wallet would have; a second one of the same wallet adds to it. Give its movements."""
    found = [one.movement(next(_numbers)) for one in made]
    held = tokens.ensure_mints({mint: 6 for mint in holdings or {}})
    with database.write():
        wallet_id = wallets.ensure_wallets([address])[address]
        syncs = Wallet.get_by_id(wallet_id).syncs + 1
        ids = tokens.ensure_mints({one.mint: 6 for one in found})
        rows = [
            (
                wallet_id, syncs, one.slot, one.transaction_index, one.block_at, one.signature, SIDES.index(one.side),
                ids[one.mint], str(one.amount), 6, one.quote, one.quote_amount, 1, False,
            )
            for one in found
        ]  # fmt: skip
        Wallet.update(
            state="synced",
            synced_at=database.now_s(),
            syncs=syncs,
            transactions=len(rows),
            holdings=None if holdings is None else json.dumps({held[mint]: str(n) for mint, n in holdings.items()}),
        ).where(Wallet.id == wallet_id).execute()
    sql.store(MovementRow, wallets.MOVEMENT_FIELDS, rows, lambda _: None)
    return found


def begin(addresses: Sequence[str], **parameters: Any) -> Analysis:
    """Make an analysis of wallets that need no sync; its job waits."""
    values = {"window_days": None, "timing_window_s": 60, "tau": 0.5, "exclude": ()} | parameters
    rows = [NewWallet(address, line, None) for line, address in enumerate(addresses, 1)]
    new = NewAnalysis(start.new_key(), rows, Parameters(**values), "test", 1000, "test")
    return start.create(new, sync_ttl_s=10**6).analysis


def job_of(analysis: Analysis) -> Job:
    return Job.get(Job.kind == "similarity", Job.target == analysis.key)


def complete(addresses: Sequence[str], **parameters: Any) -> Analysis:
    """Make an analysis and do its job."""
    analysis = begin(addresses, **parameters)
    executor.run(job_of(analysis).id)
    return Analysis.get_by_id(analysis.id)
