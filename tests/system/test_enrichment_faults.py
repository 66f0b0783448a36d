"""The enrichment worker as a process of its own, while everything around it fails: no mint is lost, none stays pending.

Embedded (SQLite), and scaled out (PostgreSQL and Redis, both real).
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import sqlite3
import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest
import redis
from peewee import OperationalError

from tasks.enrichment import triggers
from tasks.settings import read_settings
from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import market_scenario
from tasks.storage import database, sql, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job, ScheduleTick
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token
from tests.conftest import use_base
from tests.support import servers
from tests.support.bad_responses import misquote
from tests.support.expected_listings import expected_listing
from tests.support.servers import Program
from tests.support.waiting import HANG_S, until

SCHEDULE = "huey.schedule.walletkin_enrichment"
MARKET_LIMIT = 5.0  # a second, strictly: above it the made-up market answers 429


@dataclasses.dataclass
class Services:
    """The processes of one test, with a database that the test itself has open."""

    running: Program
    redis: servers.RedisServer | None

    def start(self) -> None:
        self.running.start("enrichment")

    def kill(self) -> None:
        self.running.kill("enrichment")


@pytest.fixture(params=["embedded", "scaled out"])
def services(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        environ = {"WALLETKIN_DATA_DIR": str(tmp_path)}
        server = None
        if request.param == "scaled out":
            server = stack.enter_context(servers.redis_server())
            address = request.getfixturevalue("postgres_url")
            name = f"test_{uuid.uuid4().hex}"
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            environ["WALLETKIN_DATABASE_URL"] = address.rpartition("/")[0] + f"/{name}"
            environ["WALLETKIN_REDIS_URL"] = server.url
        opened = database.open_database(read_settings(environ))
        database.migrate()
        stack.enter_context(database.session())
        running = Program(tmp_path, environ)
        try:
            yield Services(running, server)
        finally:
            running.stop()
            if hasattr(opened, "close_all"):
                opened.close_all()
            use_base()


def market_of(services: Services, count: int, **faults: object) -> Simulator:
    """Make a market of so many tokens, and let the services ask it."""
    market = Simulator(market_scenario(count))
    market.set_faults(**faults)
    for name in ("DEXSCREENER_URL", "JUPITER_URL"):
        services.running.environ[f"WALLETKIN_{name}"] = market.url
    return market


def register(market: Simulator, count: int) -> list[str]:
    mints = [token.mint for token in market.world.catalogue.tokens[3 : 3 + count]]
    tokens.ensure_mints(dict.fromkeys(mints))
    return mints


def ask_for(mints: list[str]) -> tuple[Analysis, str]:
    """Record what a finished analysis of these mints asks for; the worker finds it when it starts."""
    ids = tokens.mint_ids(mints)
    key = uuid.uuid4().hex
    analysis = Analysis.create(
        key=key, state="complete", created_at=database.now_s(), timing_window_s=60, tau=0.5, exclude="[]",
        history_limit=1000, version="test", wallets=2, result_id=1,
    )  # fmt: skip
    fields = (ResultMint.result_id, ResultMint.mint_id, ResultMint.wallets, ResultMint.spent_sol)
    sql.insert_rows(ResultMint, fields, [(1, ids[mint], 1, 1.0) for mint in mints])
    job_id = triggers.after_analysis(analysis)
    assert job_id is not None
    return analysis, job_id


def has_ended(job_id: str) -> bool:
    return Job.get_by_id(job_id).state not in ("queued", "running")


def check_all(market: Simulator, mints: list[str]) -> None:
    """Compare every token with the truth about it."""
    rows = {row.mint: row for row in Token.select().where(Token.mint.in_(mints[:900]))}
    for part in range(900, len(mints), 900):
        rows |= {row.mint: row for row in Token.select().where(Token.mint.in_(mints[part : part + 900]))}
    wrong = []
    for mint in mints:
        expected, row = expected_listing(market.world, mint), rows[mint]
        price = expected["price_usd"]
        same = row.status == expected["status"] and (row.price_usd is None) == (price is None)
        if not same or (price is not None and abs(row.price_usd / price - 1) > 0.002):
            wrong.append((mint, row.status, row.price_usd, row.last_error, expected))
        assert row.priority is None
        assert row.claim_token is None
    assert wrong == []


@pytest.mark.parametrize(
    ("services", "kills"),
    [
        pytest.param("embedded", 5, marks=pytest.mark.slow),
        pytest.param("embedded", 20, marks=pytest.mark.long),
        pytest.param("scaled out", 20, marks=pytest.mark.long),
    ],
    indirect=["services"],
)
def test_a_worker_killed_repeatedly_loses_no_mint_and_requests_none_too_often(services: Services, kills: int) -> None:
    rnd, count = random.Random(5), 150 * kills
    with market_of(services, count, market_latency_ms=150.0, market_requests_per_s=MARKET_LIMIT) as market:
        mints = register(market, count)
        _, job_id = ask_for(mints)
        services.start()
        for _ in range(kills):
            time.sleep(rnd.uniform(0.8, 2.4))
            services.kill()
            services.start()
        until(lambda: has_ended(job_id), "the end of the job")
        check_all(market, mints)
        stats = market.stats()
        assert max(stats["largest_mint_count"].values()) <= kills + 1
        assert "429" not in stats["statuses"]
        assert Job.get_by_id(job_id).state == "succeeded"


def go_through(services: Services, trouble: dict[str, object], seconds: float) -> None:
    with market_of(services, 300, target="market", **trouble) as market:
        mints = register(market, 300)
        _, job_id = ask_for(mints)
        services.start()
        time.sleep(seconds)
        market.set_faults(**{name: 0 for name in trouble if name.endswith("_fraction")})
        until(lambda: has_ended(job_id), "the end of the job")
        check_all(market, mints)


@pytest.mark.long
@pytest.mark.parametrize("services", ["embedded"], indirect=True)
def test_a_market_that_refuses_for_half_a_minute_delays_and_loses_nothing(services: Services) -> None:
    go_through(services, {"fail_status": 429, "fail_fraction": 1.0}, 30)


@pytest.mark.long
@pytest.mark.parametrize(
    "trouble",
    [
        {"garble": "html", "garble_fraction": 0.5},
        {"garble": "half", "garble_fraction": 0.5},
        {"drop_fraction": 0.5},
        {"hang_fraction": 0.3, "hang_s": 12.0},
    ],
    ids=["html", "half a JSON", "dropped", "hanging"],
)
def test_a_market_in_trouble_delays_and_loses_nothing(services: Services, trouble: dict[str, object]) -> None:
    go_through(services, trouble, 6)


@pytest.mark.long
def test_nonsense_in_an_answer_harms_only_what_it_is_about(services: Services) -> None:
    with market_of(services, 150) as market:
        mints = register(market, 150)
        both = [mint for mint in mints if market.world.catalogue.by_mint[mint].listing == "both"]
        kinds = ("negative", "zero", "nan", "infinite", "huge", "text", "null", "list", "bare", "twice")
        misquote(market, dict(zip(both[10:], kinds, strict=False)), rejected=both[40])
        _, job_id = ask_for(mints)
        services.start()
        until(lambda: has_ended(job_id), "the end of the job")
        bad = {*both[10 : 10 + len(kinds)], both[40]}
        check_all(market, [mint for mint in mints if mint not in bad])
        for row in Token.select().where(Token.mint.in_(bad)):
            assert row.status in ("resolved", "unlisted", "failed")
            assert row.price_usd is None or 0 < row.price_usd <= 1e9
        assert Token.get(Token.mint == both[40]).status == "failed"


@pytest.mark.long
def test_the_pair_of_another_chain_gives_no_price(services: Services) -> None:
    with market_of(services, 60) as market:
        mints = register(market, 60)
        known = [market.world.catalogue.by_mint[mint] for mint in mints]
        elsewhere = next(one.mint for one in known if one.listing == "both" and one.rugged_s is None)
        misquote(market, {elsewhere: "other_chain"})
        _, job_id = ask_for(mints)
        services.start()
        until(lambda: has_ended(job_id), "the end of the job")
        check_all(market, [mint for mint in mints if mint != elsewhere])
        assert Token.get(Token.mint == elsewhere).price_source == "jupiter"


@pytest.mark.long
@pytest.mark.parametrize("services", ["scaled out"], indirect=True)
def test_redis_away_for_ten_seconds_and_emptied_in_the_middle_loses_nothing(services: Services) -> None:
    assert services.redis is not None
    with market_of(services, 1_500, market_latency_ms=100.0) as market:
        mints = register(market, 1_500)
        _, job_id = ask_for(mints)
        services.start()
        time.sleep(2)
        redis.Redis.from_url(services.redis.url).flushall()
        time.sleep(1)
        services.redis.stop()
        time.sleep(10)
        services.redis.start()
        until(lambda: has_ended(job_id), "the end of the job")
        check_all(market, mints)
        assert "429" not in market.stats()["statuses"]


@pytest.mark.long
@pytest.mark.parametrize("hours", [-2, 2], ids=["back", "ahead"])
def test_a_clock_that_is_set_anew_stops_nothing(services: Services, hours: int) -> None:
    """Seen from a clock that was set back by two hours, all that was written down lies two hours further ahead."""
    with market_of(services, 750, market_latency_ms=100.0, fail_fraction=0.3, target="market") as market:
        mints = register(market, 750)
        _, job_id = ask_for(mints)
        services.start()
        until(lambda: Job.get_by_id(job_id).done > 100, "the first tokens")
        shift_against_others(services, -hours * 3600)
        market.set_faults(fail_fraction=0.0)
        until(lambda: has_ended(job_id), "the end of the job")
        check_all(market, mints)


def shift_against_others(services: Services, seconds: int) -> None:
    """Shift all rows at once, in no order that the workers keep: where PostgreSQL refuses, nothing has moved."""
    for _ in range(20):
        with contextlib.suppress(OperationalError):
            shift_all_times(services, seconds)
            return
    raise AssertionError("the times could not be shifted")


def shift_all_times(services: Services, seconds: int) -> None:
    with database.write():
        for column in (Token.lease, Token.asked_at, Token.next_attempt_at, Token.last_updated, Token.first_seen_at):
            Token.update({column: column + seconds}).execute()
        for column in (Job.lease_until, Job.run_after, Job.enqueued_at, Job.announced_at, Job.started_at):
            Job.update({column: column + seconds}).execute()
        moved = [
            (name, minute + seconds // 60)
            for name, minute in ScheduleTick.select(ScheduleTick.name, ScheduleTick.minute).tuples()
        ]
        ScheduleTick.delete().execute()
        sql.insert_rows(ScheduleTick, (ScheduleTick.name, ScheduleTick.minute), moved)
    if services.redis is not None:
        client = redis.Redis.from_url(services.redis.url)
        for message, at in client.zrange(SCHEDULE, 0, -1, withscores=True):
            client.zadd(SCHEDULE, {message: at + seconds})
        return
    with contextlib.closing(sqlite3.connect(services.running.folder / "queue.db", timeout=HANG_S)) as queue, queue:
        queue.execute("UPDATE schedule SET timestamp = timestamp + ?", (seconds,))
