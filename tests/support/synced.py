"""Wallets with the trades that a test specifies, written into the database as if just synced; their analyses."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.jobs import executor
from tasks.measures.trades import Movement
from tasks.pipeline import evidence, start
from tasks.storage import analyses, database, pairs, results, sql, tokens, wallets
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.wallets import Movement as MovementRow
from tasks.storage.models.wallets import Wallet

START_AT = 1_790_000_000
History = dict[str, list[Movement]]
POPULAR = [f"mint {n:03d}" for n in range(120)]
SIDES = ("buy", "sell", "in", "out")


@dataclasses.dataclass(frozen=True)
class TradeSpec:
    """A trade or transfer to store, `second` seconds after START_AT; a second has two and a half slots."""

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


def sync(address: str, trades: Sequence[TradeSpec], holdings: Mapping[str, int] | None = None) -> list[Movement]:
    """Store what a sync of a wallet would; a further sync of it adds to that. Return its movements."""
    movements = [one.movement(next(_numbers)) for one in trades]
    held = tokens.ensure_mints({mint: 6 for mint in holdings or {}})
    with database.write():
        wallet_id = wallets.ensure_wallets([address])[address]
        syncs = Wallet.get_by_id(wallet_id).syncs + 1
        ids = tokens.ensure_mints({one.mint: 6 for one in movements})
        rows = [
            (
                wallet_id, syncs, one.slot, one.transaction_index, one.block_at, one.signature, SIDES.index(one.side),
                ids[one.mint], str(one.amount), 6, one.quote, one.quote_amount, 1, False,
            )
            for one in movements
        ]  # fmt: skip
        Wallet.update(
            state="synced",
            synced_at=database.now_s(),
            syncs=syncs,
            transactions=len(rows),
            holdings=None if holdings is None else json.dumps({held[mint]: str(n) for mint, n in holdings.items()}),
        ).where(Wallet.id == wallet_id).execute()
    sql.store(MovementRow, wallets.MOVEMENT_FIELDS, rows, lambda _: None)
    return movements


def begin(addresses: Sequence[str], **parameters: Any) -> Analysis:
    """Start an analysis of wallets that need no sync; its job is queued."""
    values = {"window_days": None, "timing_window_s": 60, "tau": 0.5, "exclude": ()} | parameters
    rows = [NewWallet(address, line, None) for line, address in enumerate(addresses, 1)]
    new = NewAnalysis(start.new_key(), rows, Parameters(**values), "test", 1000, "test")
    return start.create(new, sync_ttl_s=10**6).analysis


def job_of(analysis: Analysis) -> Job:
    return Job.get(Job.kind == "similarity", Job.target == analysis.key)


def complete(addresses: Sequence[str], **parameters: Any) -> Analysis:
    """Start an analysis and run its job."""
    analysis = begin(addresses, **parameters)
    executor.run(job_of(analysis).id)
    return Analysis.get_by_id(analysis.id)


def trade_at_random(rng: random.Random, mints: int) -> list[TradeSpec]:
    chosen = rng.sample(POPULAR, mints)
    return [
        TradeSpec(rng.randrange(10**6), mint, rng.choice(["buy", "buy", "sell"]), sol=rng.uniform(0.1, 5))
        for mint in chosen + rng.choices(chosen, k=mints)
    ]


def crowd(strangers: int = 36, seed: int = 1) -> History:
    """Strangers, and a leader whose four followers buy the same rare tokens 10 s to 40 s later for as much.

    The first eight strangers come to these tokens too, days later.
    """
    rng = random.Random(seed)
    history = {f"stranger {n:02d}": trade_at_random(rng, 8) for n in range(strangers)}
    for number, made in enumerate(list(history.values())[:8]):
        made.append(TradeSpec(900_000, f"rare {number}"))
    lead = [TradeSpec(1_000 + 50_000 * n, f"rare {n}", sol=1.0 + n) for n in range(8)]
    history["leader"] = lead
    for lag in (10, 20, 30, 40):
        history[f"follower {lag}"] = [dataclasses.replace(one, second=one.second + lag) for one in lead]
    holding = {"leader": {"rare 0": 5}, "follower 10": {}, "follower 20": {}}
    return {address: sync(address, made, holding.get(address)) for address, made in history.items()}


def rows_of(analysis: Analysis) -> list[dict[str, Any]]:
    return list(pairs.stream(analysis.result_id))


def stored_state(analysis: Analysis) -> Any:
    row = results.result(analysis.result_id)
    kept = {name: row[name] for name in results.JSON_FIELDS}
    wallets = {position: results.behaviour(row["id"], position) for position in results.wallets(row["id"])}
    found = [{name: one[name] for name in one if name != "result_id"} for one in rows_of(analysis)]
    proof = evidence.pair_of(analysis, *(analyses.wallet(analysis.id, name) for name in ("follower 10", "leader")))
    return kept, wallets, found, {name: proof[name] for name in ("matches", "for", "against")}
