"""Measures the enrichment: unknown mints, a user's refresh behind a long queue, and the polls of a page.

Embedded, and with Redis and PostgreSQL; beside each what a plain implementation of the seed's sketch needs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import psycopg
import requests

from tasks.enrichment import cache, job_progress, token_queue, triggers
from tasks.jobs import priority, states, submit
from tasks.settings import read_settings
from tasks.simulator.world.scenario import market_scenario
from tasks.simulator.world.world import build_world
from tasks.storage import database, sql, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token
from tests.benchmarks.sketch import Sketch
from tests.support import servers

LATENCY_MS = 300
RATE, RATE_KEYLESS_SECOND = 5.0, 0.5
ON_SCREEN = 70
POLLS_PER_S, POLL_FOR_S, CLIENTS = 200, 10, 24
Say = Callable[..., None]


@contextlib.contextmanager
def market(count: int, *faults: str) -> Iterator[str]:
    """Serve a made-up market from another process."""
    port = servers.free_port()
    command = [sys.executable, "-m", "tests.benchmarks.market", str(count), str(port), *faults]
    process = subprocess.Popen(command, cwd=servers.ROOT)
    try:
        servers.wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def house(url: str, *, scaled: bool) -> Iterator[servers.Program]:
    """A database that this process has open too, and the program on it, not started yet."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environ = {
            "WALLETKIN_DATA_DIR": folder,
            "WALLETKIN_DEXSCREENER_URL": url,
            "WALLETKIN_JUPITER_URL": url,
            "WALLETKIN_SOLANA_RPC_URL": url,
        }
        if scaled:
            environ["WALLETKIN_REDIS_URL"] = stack.enter_context(servers.redis())
            address = stack.enter_context(servers.postgres())
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            environ["WALLETKIN_DATABASE_URL"] = address.rpartition("/")[0] + "/bench"
        opened = database.open_database(read_settings(environ))
        cache.open_cache(dataclasses.replace(read_settings(environ), redis_url=None))
        database.migrate()
        running = servers.Program(pathlib.Path(folder), environ)
        try:
            with database.session():
                yield running
        finally:
            running.stop()
            if hasattr(opened, "close_all"):
                opened.close_all()


def mints_of(count: int) -> list[str]:
    return [token.mint for token in build_world(market_scenario(count)).catalogue.tokens[3 : 3 + count]]


def an_analysis(mints: Sequence[str], result_id: int = 1) -> Analysis:
    ids = tokens.ensure_mints(dict.fromkeys(mints))
    fields = (ResultMint.result_id, ResultMint.mint_id, ResultMint.wallets, ResultMint.spent_sol)
    with database.write():
        sql.insert_rows(ResultMint, fields, [(result_id, ids[mint], 1, 1.0) for mint in mints])
        return Analysis.create(
            key=uuid.uuid4().hex, state="complete", created_at=database.now_s(), timing_window_s=60, tau=0.5,
            exclude="[]", history_limit=1000, version="bench", wallets=2, result_id=result_id,
        )  # fmt: skip


def wait_for_end(job_id: str) -> Job:
    while (job := Job.get_by_id(job_id)).state in ("queued", "running"):
        time.sleep(0.02)
    return job


def enrichment(say: Say) -> None:
    """Run all three."""
    for scaled in (False, True):
        where = "Redis and PostgreSQL" if scaled else "embedded"
        unknown(say, where, scaled)
        refresh(say, where, scaled)
        polls(say, where, scaled)
    sketch(say)


def unknown(say: Say, where: str, scaled: bool, count: int = 3_000) -> None:
    """From the worker's start to the end of the job that asks for all of them."""
    mints = mints_of(count)
    with market(count, f"market_latency_ms={LATENCY_MS}") as url, house(url, scaled=scaled) as running:
        job_id = triggers.after_analysis(an_analysis(mints))
        running.start("enrichment")
        while not Job.get_by_id(job_id).done:
            time.sleep(0.01)
        started = time.perf_counter() - LATENCY_MS / 1000
        job = wait_for_end(str(job_id))
        seconds = time.perf_counter() - started
        stats = requests.get(f"{url}/_stats", timeout=10).json()
    counts = json.loads(job.counts)
    asked_second = stats["mints_by_service"].get("jupiter", 0)
    allowed = max(math.ceil(count / 30) / RATE, 0)
    calls = stats["services"]["dexscreener"] + stats["services"].get("jupiter", 0)
    least = math.ceil(count / 30) + math.ceil(asked_second / 100)
    say(f"{count:,} unknown mints, {LATENCY_MS} ms a call, {where}", f"{seconds:.1f} s", f"< {1.3 * allowed:.1f} s")
    say("  calls", f"{calls}", f"<= {least + 2}; 429: {stats['statuses'].get('429', 0)}")
    say("  resolved, unlisted, failed", f"{counts['resolved']}, {counts['unlisted']}, {counts['failed']}")


def refresh(say: Say, where: str, scaled: bool, behind: int = 100_000) -> None:
    """A user's refresh, while the background works on a long queue."""
    mints = mints_of(3_000)
    bound = 3 * LATENCY_MS / 1000 + 2
    with market(3_000, f"market_latency_ms={LATENCY_MS}") as url, house(url, scaled=scaled) as running:
        queue_in_the_background([f"background{number:034d}" for number in range(behind)])
        running.start("web")
        running.start("enrichment")
        seconds = []
        wait_until_busy()
        for number in range(3):
            mine = mints[number * ON_SCREEN : (number + 1) * ON_SCREEN]
            page = f"{running.url}/analyses/{an_analysis(mine, number + 1).key}"
            started = time.perf_counter()
            answer = requests.post(f"{page}/refresh", json={"mints": mine}, timeout=30)
            answer.raise_for_status()
            wait_for_end(answer.json()["id"])
            seconds.append(time.perf_counter() - started)
            time.sleep(2)
    for number, one in enumerate(seconds):
        say(f"refresh of {ON_SCREEN} behind {behind:,}, {where}, run {number + 1}", f"{one:.2f} s", f"< {bound:.1f} s")


def queue_in_the_background(mints: Sequence[str]) -> None:
    """Queue mints as the schedule does, only more of them at once."""
    for part in range(0, len(mints), 5_000):
        tokens.ensure_mints(dict.fromkeys(mints[part : part + 5_000]))
    with database.write():
        made = submit.submit("maintain", ["tokens"], priority.BACKGROUND, queue="enrichment")
    job = Job.get_by_id(made["tokens"])
    ids = [row[0] for row in Token.select(Token.id).tuples()]
    for part in range(0, len(ids), 3_000):
        with database.write():
            states.lock_job(job.id)
            token_queue.enqueue(job.id, [(mint_id, job.priority) for mint_id in ids[part : part + 3_000]])
    with database.write():
        job_progress.count(job.id)


def wait_until_busy() -> None:
    while not Token.select().where(Token.asked_at.is_null(False)).count():
        time.sleep(0.1)


def polls(say: Say, where: str, scaled: bool) -> None:
    """Polls of a page's cells at a steady rate: cells that wait, and cells that have all just come."""
    mints = mints_of(ON_SCREEN)
    with market(ON_SCREEN) as url, house(url, scaled=scaled) as running:
        tokens.ensure_mints(dict.fromkeys(mints))
        running.start("web")
        address = f"{running.url}/tokens?mints={','.join(mints)}"
        for what in ("all waiting", "all just resolved"):
            if what == "all just resolved":
                Token.update(
                    status="resolved", name="A token", symbol="TKN", price_usd=0.0123, last_updated=time.time(),
                    image_url="https://cdn.dexscreener.com/a.png", price_source="dexscreener",
                ).execute()  # fmt: skip
            times = at_a_rate(address)
            say(
                f"poll of {ON_SCREEN} cells at {POLLS_PER_S}/s, {what}, {where}, p95",
                f"{1000 * sorted(times)[len(times) * 95 // 100]:.1f} ms",
                f"< 20 ms; median {1000 * statistics.median(times):.1f} ms",
            )


def at_a_rate(address: str) -> list[float]:
    """Send polls at fixed moments, whatever the answers take; a time counts from when the poll was due."""
    due = iter(range(POLLS_PER_S * POLL_FOR_S))
    lock, times = threading.Lock(), list[float]()
    began = time.perf_counter() + 0.2

    def client() -> None:
        session = requests.Session()
        session.headers["HX-Request"] = "true"
        while True:
            with lock:
                number = next(due, None)
            if number is None:
                return
            at = began + number / POLLS_PER_S
            time.sleep(max(0.0, at - time.perf_counter()))
            answer = session.get(address, timeout=30)
            assert answer.status_code in (200, 204, 286), answer.status_code
            times.append(time.perf_counter() - at)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def sketch(say: Say, count: int = 300) -> None:
    """The plain queue and ours on the same market, which allows so many calls a second: two users want the same."""
    mints = mints_of(count)
    limits = (f"market_latency_ms={LATENCY_MS}", f"market_requests_per_s={RATE:g}")
    with market(count, *limits) as url:
        plain = Sketch(url)
        started = time.perf_counter()
        plain.ask_for("first", mints)
        plain.ask_for("second", mints[:ON_SCREEN])
        plain.wait()
        whole = max(plain.done.values()) - started
        second = max(at for (who, _), at in plain.done.items() if who == "second") - started
        stats = requests.get(f"{url}/_stats", timeout=10).json()
    say(f"the seed's sketch: {count} mints, and {ON_SCREEN} of them by a second user", f"{whole:.1f} s")
    say("  until the second user has his", f"{second:.1f} s")
    say("  calls", f"{plain.calls}", f"429: {stats['statuses'].get('429', 0)}")
    with market(count, *limits) as url, house(url, scaled=False) as running:
        running.start("web")
        running.start("enrichment")
        started = time.perf_counter()
        pages = [f"{running.url}/analyses/{an_analysis(m, n).key}" for n, m in enumerate((mints, mints[:ON_SCREEN]), 1)]
        made = [requests.post(f"{page}/refresh", json={}, timeout=30).json()["id"] for page in pages]
        wait_for_end(made[1])
        second = time.perf_counter() - started
        wait_for_end(made[0])
        whole = time.perf_counter() - started
        stats = requests.get(f"{url}/_stats", timeout=10).json()
    say("Walletkin, the same", f"{whole:.1f} s")
    say("  until the second user has his", f"{second:.1f} s")
    say("  calls", f"{sum(stats['services'].values())}", f"429: {stats['statuses'].get('429', 0)}")
