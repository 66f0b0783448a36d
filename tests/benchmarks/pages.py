"""Measures the pages of a large result under load: `python -m tests.benchmarks.pages`, prints JSON.

10,000 wallets in groups of five that trade alike, so that there are thousands of clusters; the whole analysis is made
by the real stage. Then the web process as the Procfile starts it answers 100 requests a second, sent when they are due
whether or not earlier ones were answered, of many pairs, wallets and pages.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import base58
import numpy as np

from tasks.jobs import executor, queues
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.pipeline import start
from tasks.settings import configure, read_settings
from tasks.storage import database, sql
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Movement, RateObservation, Wallet
from tasks.worker import HANDLERS
from tests.benchmarks.analysis import ADDRESS, END_AT, FIELDS, SIGNATURE, SPAN_S, store, words
from tests.benchmarks.pairs import MINTS, TRADED, _draw
from tests.support import servers

assert HANDLERS  # imported, so that every kind of job has its handler
WALLETS, GROUP, TRADES = 10_000, 5, 100
SHARED = 45
"""How many of its 60 mints a wallet has from its group."""
PER_S, SECONDS, WARM_S = 100, 20, 4
SORTS = ("overall", "behavioural", "capital", "overlap", "lift", "matched")


def fill(folder: pathlib.Path, count: int = WALLETS) -> str:
    """Make the database in a folder and the analysis of so many wallets in it; give its key."""
    url = f"sqlite:///{folder}/walletkin.db"
    settings = read_settings({"WALLETKIN_DATA_DIR": str(folder), "WALLETKIN_DATABASE_URL": url})
    settings = dataclasses.replace(settings, data_dir=folder)
    database.open_database(settings)
    database.migrate()
    configure(settings)
    queues.open_queues(settings)
    with database.session():
        addresses = _fill_records(count)
        new = NewAnalysis(
            start.new_key(), [NewWallet(address, line, None) for line, address in enumerate(addresses, 1)],
            Parameters(None, 60, 0.5, tuple(DEFAULT_EXCLUDED)), "bench", 1_000, "bench",
        )  # fmt: skip
        analysis = start.create(new, sync_ttl_s=10**6).analysis
        executor.run(Job.get(Job.kind == "similarity").id)
        assert Analysis.get_by_id(analysis.id).state == "complete"
    return str(analysis.key)


def _fill_records(count: int) -> list[str]:
    random = np.random.default_rng(11)
    addresses = sorted(base58.b58encode(random.bytes(32)).decode() for _ in range(count))
    store(Wallet, [
        {"id": n, "address": a, "state": "synced", "synced_at": database.now_s(), "syncs": 1, "transactions": TRADES,
         "oldest_slot": 0, "holdings": "{}"}
        for n, a in enumerate(addresses, 1)
    ])  # fmt: skip
    store(Token, [
        {"id": n, "mint": m, "decimals": 6, "first_seen_at": 1.0, "status": "resolved", "symbol": f"T{n}",
         "name": f"Token {n}", "price_usd": 0.01 * n, "last_updated": database.now_s()}
        for n, m in enumerate(sorted(words(random, MINTS, ADDRESS)), 1)
    ])  # fmt: skip
    observed = {"sync_no": 1, "signature": "s", "usd": 150_000_000, "lamports": 10**9}
    store(RateObservation, [{"id": 1, "wallet_id": 1, "block_at": END_AT, **observed}])
    sql.store(Movement, FIELDS, _movements(random, count), lambda _: None)
    return addresses


def _movements(random: np.random.Generator, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield the trades of one wallet after another; the members of a group are spread over all addresses."""
    popularity = 1 / np.arange(1, MINTS + 1) ** 1.1
    groups = max(1, count // GROUP)
    common = [(_draw(random, popularity) + 1, _times(random), _paid(random)) for _ in range(groups)]
    number = 0
    for wallet_id in range(1, count + 1):
        mints, times, paid = (column.copy() for column in common[wallet_id % groups])
        own = (_draw(random, popularity) + 1)[: TRADED - SHARED]
        mints[SHARED:] = own
        times = times + random.integers(0, 40, TRADES)
        paid = (paid * random.uniform(0.8, 1.2, TRADES)).astype(np.int64)
        again = np.concatenate([mints, random.choice(mints, TRADES - TRADED)])
        sides = np.concatenate([np.zeros(TRADED, dtype=np.int64), random.integers(0, 2, TRADES - TRADED)])
        signatures = words(random, TRADES, SIGNATURE)
        for mint, at, lamports, side, signature in zip(
            again.tolist(), times.tolist(), paid.tolist(), sides.tolist(), signatures, strict=True
        ):
            number += 1
            yield (
                number, wallet_id, 1, (at - 1_600_000_000) * 5 // 2, None, at, signature, side, mint,
                str(lamports * 7), 6, "SOL", lamports, 1, False,
            )  # fmt: skip


def _times(random: np.random.Generator) -> Any:
    return END_AT - random.integers(60, SPAN_S, TRADES)


def _paid(random: np.random.Generator) -> Any:
    return np.exp(random.normal(20, 1, TRADES))


@dataclasses.dataclass(frozen=True)
class Known:
    """What there is to ask for."""

    key: str
    wallets: list[str]
    pairs: list[tuple[str, str]]
    clusters: int
    counted: int


def known(folder: pathlib.Path) -> Known:
    """Read from the database which pages there are, a sample of them."""
    with sqlite3.connect(folder / "walletkin.db") as db:
        key, analysis_id, result_id = db.execute("SELECT key, id, result_id FROM analysis").fetchone()
        names = dict(
            db.execute(
                "SELECT position, address FROM analysis_wallet JOIN wallet ON wallet.id = wallet_id "
                "WHERE analysis_id = ?",
                (analysis_id,),
            )
        )
        counted = db.execute("SELECT COUNT(*) FROM pair WHERE result_id = ?", (result_id,)).fetchone()[0]
        clusters = db.execute("SELECT COUNT(*) FROM result_cluster WHERE result_id = ?", (result_id,)).fetchone()[0]
        chosen = np.random.default_rng(5).integers(0, counted, 2_000).tolist()
        marks = ",".join(map(str, chosen))
        rows = db.execute(
            f"SELECT wallet_a, wallet_b FROM pair WHERE result_id = ? AND number IN ({marks})", (result_id,)
        ).fetchall()
    return Known(key, list(names.values()), [(names[a], names[b]) for a, b in rows], clusters, counted)


def paths(found: Known, kind: str, count: int) -> list[str]:
    """Give so many addresses of pages of one kind, hardly any twice; `list` follows its cursors beforehand."""
    random = np.random.default_rng(9)
    base = f"/analyses/{found.key}"
    wallets, pairs = (random.integers(0, len(ones), count).tolist() for ones in (found.wallets, found.pairs))
    return {
        "list": lambda: [f"{base}/pairs{_query(random, found)}" for _ in range(count)],
        "pair": lambda: [f"{base}/pairs/{found.pairs[n][0]}/{found.pairs[n][1]}" for n in pairs],
        "audit": lambda: [f"{base}/wallets/{found.wallets[n]}/capital" for n in wallets],
        "wallet": lambda: [f"{base}/wallets/{found.wallets[n]}" for n in wallets],
        "analysis": lambda: [base] * count,
    }[kind]()


def _query(random: np.random.Generator, found: Known) -> str:
    """Make the query of a list: every sort and filter, and some plain ones."""
    sort = SORTS[int(random.integers(0, len(SORTS)))]
    return [
        "",
        f"?sort={sort}",
        f"?sort={sort}&min={'5' if sort in ('lift', 'matched') else '0.5'}",
        f"?wallet={found.wallets[int(random.integers(0, len(found.wallets)))]}",
        f"?cluster={int(random.integers(1, max(2, found.clusters)))}",
        "?insight=synchronised_trading",
    ][int(random.integers(0, 6))]


class Web:
    """The web process as the Procfile starts it, on a free port."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.port = servers.free_port()
        lines = (servers.ROOT / "Procfile").read_text().splitlines()
        command = next(line.removeprefix("web:").strip() for line in lines if line.startswith("web:"))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WALLETKIN_")}
        environ |= {
            "PATH": f"{servers.BIN}:{os.environ.get('PATH', '')}",
            "WALLETKIN_DATA_DIR": str(folder),
            "WALLETKIN_BIND": f"127.0.0.1:{self.port}",
        }
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], cwd=servers.ROOT, env=environ, start_new_session=True
        )
        servers.wait_for_port(self.port)

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(15)


def load(port: int, asked: list[str], per_s: float = PER_S) -> list[float]:
    """Send each request when it is due; give the seconds from due to wholly read.

    Each has a connection of its own, as hundreds of readers have.
    """
    seconds: list[float] = [0.0] * len(asked)
    start_at = time.perf_counter() + 0.2
    threads = 48

    def send(first: int) -> None:
        for place in range(first, len(asked), threads):
            due = start_at + place / per_s
            time.sleep(max(0.0, due - time.perf_counter()))
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", asked[place], headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            assert answer.status == 200, (answer.status, asked[place])
            seconds[place] = time.perf_counter() - due

    workers = [threading.Thread(target=send, args=(first,)) for first in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seconds


def percentile(values: list[float], share: int) -> float:
    return 1000 * sorted(values)[min(len(values) - 1, len(values) * share // 100)]


def figures(folder: pathlib.Path) -> dict[str, Any]:
    """Measure each kind of page by itself, then all of issue 4's together; milliseconds."""
    found = known(folder)
    told: dict[str, Any] = {"pairs": found.counted, "clusters": found.clusters}
    web = Web(folder)
    try:
        for kind in ("list", "pair", "audit"):
            load(web.port, paths(found, kind, PER_S * WARM_S), PER_S / 2)
        for kind in ("list", "pair", "audit", "wallet"):
            told[kind] = _told(load(web.port, paths(found, kind, PER_S * SECONDS)))
        mixed = [paths(found, kind, PER_S * SECONDS // 3) for kind in ("list", "pair", "audit")]
        told["all three"] = _told(load(web.port, [path for row in zip(*mixed, strict=True) for path in row]))
        told["analysis, 10 requests/s"] = _told(load(web.port, paths(found, "analysis", 100), 10))
    finally:
        web.stop()
    return told


def _told(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(percentile(seconds, share), 1) for share in (50, 95, 99)}


def main() -> None:
    if len(sys.argv) > 1:  # a folder with a database made before
        print(json.dumps(figures(pathlib.Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(
            [sys.executable, "-c", f"from tests.benchmarks import pages; import pathlib; "
             f"pages.fill(pathlib.Path({name!r}))"], cwd=servers.ROOT, check=True,
        )  # fmt: skip
        print(json.dumps(figures(folder)))


if __name__ == "__main__":
    main()
