"""Measures the whole analysis stage over a database made for it: `python -m tests.benchmarks.analysis WALLETS`.

Prints JSON: the seconds of the job from its claim to the result swapped in, the peak memory of the process that
computed, and the pairs stored. With `--postgresql` on a server started for it, else on SQLite.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import pathlib
import re
import resource
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks.jobs import executor, queues
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.pipeline import start
from tasks.settings import Settings, configure, read_settings
from tasks.storage import database, sql, wallets
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job
from tasks.storage.models.results import Pair
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Movement, RateObservation, Wallet
from tasks.worker import HANDLERS
from tests.benchmarks.pairs import MINTS, TRADED, _draw
from tests.support import servers

assert HANDLERS  # imported, so that every kind of job has its handler
TRADES = 100
END_AT, SPAN_S = 1_795_000_000, 30 * 86_400
BASE58 = np.frombuffer(b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", dtype=np.uint8)
SIGNATURE, ADDRESS = 88, 44


def words(random: np.random.Generator, count: int, letters: int) -> list[str]:
    """Make random base58 texts of one length."""
    drawn = BASE58[random.integers(0, len(BASE58), size=(count, letters), dtype=np.uint8)]
    return [text.decode() for text in np.ascontiguousarray(drawn).view(f"S{letters}").ravel().tolist()]


def fill(count: int, trades: int = TRADES) -> list[str]:
    """Make wallets that were synced a moment ago: 60 mints each (Zipf 1.1 over 50,000); give addresses."""
    random = np.random.default_rng(7)
    addresses = sorted(words(random, count, ADDRESS))
    store(Wallet, [
        {"id": n, "address": a, "state": "synced", "synced_at": database.now_s(), "syncs": 1, "transactions": trades,
         "oldest_slot": 0, "holdings": "{}"}
        for n, a in enumerate(addresses, 1)
    ])  # fmt: skip
    mints = sorted(words(random, MINTS, ADDRESS))
    store(Token, [{"id": n, "mint": m, "decimals": 6, "first_seen_at": 1.0} for n, m in enumerate(mints, 1)])
    observed = {"sync_no": 1, "signature": "s", "usd": 150_000_000, "lamports": 10**9}
    store(RateObservation, [{"id": 1, "wallet_id": 1, "block_at": END_AT, **observed}])
    popularity = 1 / np.arange(1, MINTS + 1) ** 1.1
    sql.store(Movement, FIELDS, movements(random, count, popularity, trades), lambda _: None)
    return addresses


FIELDS = tuple(getattr(Movement, name) for name in ("id", *(field.name for field in wallets.MOVEMENT_FIELDS)))


def movements(
    random: np.random.Generator, count: int, popularity: np.ndarray, trades: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the trades of one wallet after another: every mint once, and then any of them; nine of ten in SOL."""
    number = 0
    for wallet_id in range(1, count + 1):
        mints = _draw(random, popularity) + 1
        again = np.concatenate([mints, random.choice(mints, trades - TRADED)]).tolist()
        times = (END_AT - random.integers(0, SPAN_S, trades)).tolist()
        sides = np.concatenate([np.zeros(TRADED, dtype=np.int64), random.integers(0, 2, trades - TRADED)]).tolist()
        paid = np.exp(random.normal(20, 1, trades)).astype(np.int64).tolist()
        quotes = random.random(trades).tolist()
        signatures = words(random, trades, SIGNATURE)
        for place in range(trades):
            number += 1
            yield (
                number, wallet_id, 1, (times[place] - 1_600_000_000) * 5 // 2, None, times[place], signatures[place],
                sides[place], again[place], str(paid[place] * 7), 6, "SOL" if quotes[place] < 0.9 else "USDC",
                paid[place], 1, False,
            )  # fmt: skip


def store(model: Any, rows: list[dict[str, Any]]) -> None:
    fields = [getattr(model, name) for name in rows[0]]
    sql.store(model, fields, (tuple(row.values()) for row in rows), lambda _: None)


def figures(count: int, trades: int, settings: Settings) -> dict[str, Any]:
    """Make the database and the analysis, and do its job."""
    database.open_database(settings)
    database.migrate()
    configure(settings)
    queues.open_queues(settings)
    told: list[str] = []
    listen(told)
    with database.session():
        addresses = fill(count, trades)
        if not database.is_sqlite():
            db.execute_sql("ANALYZE")
        new = NewAnalysis(
            start.new_key(), [NewWallet(address, line, None) for line, address in enumerate(addresses, 1)],
            Parameters(None, 60, 0.5, tuple(DEFAULT_EXCLUDED)), "bench", 1_000, "bench",
        )  # fmt: skip
        analysis = start.create(new, sync_ttl_s=10**6).analysis
        started = time.perf_counter()
        executor.run(Job.get(Job.kind == "similarity").id)
        seconds = time.perf_counter() - started
        analysis = Analysis.get_by_id(analysis.id)
        kept = Pair.select().where(Pair.result_id == analysis.result_id).count()
    return {"seconds": seconds, "state": analysis.state, "pairs": kept, "peak_mb": peak_mb(told), "told": told}


def listen(told: list[str]) -> None:
    """Gather what the program logs."""
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("walletkin.jobs").addHandler(handler)
    logging.getLogger("walletkin.jobs").setLevel(logging.INFO)


def peak_mb(told: list[str]) -> float:
    """Give the peak memory that the child told, or that of this process where there was no child."""
    found = [re.search(r"peak memory (\d+) MB", line) for line in told]
    of_child = [float(match[1]) for match in found if match]
    return of_child[0] if of_child else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.analysis")
    parser.add_argument("wallets", type=int)
    parser.add_argument("--trades", type=int, default=TRADES, help="of each wallet")
    parser.add_argument("--postgresql", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = stack.enter_context(servers.postgres()) if chosen.postgresql else f"sqlite:///{folder}/walletkin.db"
        settings = read_settings({"WALLETKIN_DATA_DIR": folder, "WALLETKIN_DATABASE_URL": url})
        settings = dataclasses.replace(settings, data_dir=pathlib.Path(folder))
        print(json.dumps(figures(chosen.wallets, chosen.trades, settings)))


if __name__ == "__main__":
    main()
