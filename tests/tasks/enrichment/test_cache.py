"""The price cache (`tasks/enrichment/cache.py`) on a real Redis that is emptied, stopped, frozen and started again."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tasks.enrichment import cache
from tasks.settings import read_settings
from tasks.storage import database, tokens
from tasks.storage.models.tokens import Token
from tests.support import servers

SHOWN = {
    "mint", "status", "name", "symbol", "decimals", "image_url", "price_usd", "liquidity_usd", "volume_24h_usd",
    "market_cap_usd", "price_source", "last_updated", "attempts", "last_error", "awaited",
}  # fmt: skip
USER, BACKGROUND = 3 * 10**13, 10**13


@pytest.fixture(autouse=True)
def closed(records: None) -> Iterator[None]:
    yield
    cache.close_cache()


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """An empty Redis in front of the token table."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as opened:
        opened.flushall()
        use(redis_url)
        yield opened


def use(redis_url: str | None, price_ttl_s: int = 900) -> None:
    cache.open_cache(dataclasses.replace(read_settings({}), redis_url=redis_url, price_ttl_s=price_ttl_s))


def register(*mints: str, **values: Any) -> None:
    tokens.ensure_mints(dict.fromkeys(mints, 6))
    Token.update({"status": "resolved", "price_usd": 1.5, "name": "Ü\u202e<b>"} | values).where(
        Token.mint.in_(mints)
    ).execute()


def price(mint: str) -> Any:
    return cache.cells([mint])[mint]["price_usd"]


def keys(mint: str) -> tuple[str, str]:
    return f"token:price:{mint}", f"token:status:{mint}"


def test_without_redis_the_registry_answers() -> None:
    use(None)
    register("a", price_usd=0.25, last_updated=17.5, attempts=2)
    register("b", status="pending")
    found = cache.cells(["b", "a", "a", "unknown"])
    assert found.keys() == {"a", "b"}
    assert found["a"].keys() == SHOWN
    row = Token.select().where(Token.mint == "a").dicts().get()
    assert found["a"] == {key: row[key] for key in found["a"] if key != "awaited"} | {"awaited": False}
    assert {"mint", "status", *cache.FIELDS} < set(found["a"])
    cache.write_through(["a"])
    cache.mark_loading(["a"])
    assert cache.cells([]) == {}


@pytest.mark.parametrize(
    ("values", "awaited"),
    [
        ({"status": "pending"}, True),
        ({"status": "resolved"}, False),
        ({"status": "unlisted"}, False),
        ({"status": "failed"}, False),
        ({"status": "resolved", "priority": USER}, True),
        ({"status": "unlisted", "priority": 2 * 10**13}, True),
        ({"status": "resolved", "priority": 2 * 10**13 - 1}, False),
        ({"status": "pending", "priority": BACKGROUND}, True),
    ],
)
def test_awaited_marks_tokens_in_flight_for_a_page(values: dict[str, Any], awaited: bool) -> None:
    register("a", **values)
    assert cache.cells(["a"])["a"]["awaited"] is awaited


def test_a_miss_is_filled_and_then_answered_by_redis(client: Any) -> None:
    register("a", "b", decimals=None, last_error="timed out", attempts=3)
    read = cache.cells(["a", "b"])
    assert json.loads(client.get("token:price:a")).keys() == SHOWN - {"status", "awaited"}
    assert client.get("token:status:a") == "resolved"
    Token.update(price_usd=9.0).execute()
    assert cache.cells(["b", "a"]) == read
    client.flushall()
    assert price("a") == 9.0


def test_more_mints_than_one_command_takes_are_all_read(client: Any) -> None:
    mints = [f"m{number}" for number in range(cache.CHUNK * 2 + 1)]
    register(*mints[:400])
    register(*mints[400:])
    assert cache.cells(mints).keys() == set(mints)
    assert client.dbsize() == 2 * len(mints)
    assert cache.cells(mints).keys() == set(mints)


@pytest.mark.parametrize(("price_ttl_s", "most_s"), [(900, 60), (7, 7)])
def test_no_key_outlives_a_minute(client: Any, redis_url: str, price_ttl_s: int, most_s: int) -> None:
    use(redis_url, price_ttl_s)
    register("read", "put", "asked")
    cache.cells(["read"])
    cache.write_through(["put"])
    cache.mark_loading(["asked"])
    left = {key: client.ttl(key) for key in client.scan_iter()}
    assert len(left) == 5
    assert all(most_s - 5 <= seconds <= most_s for seconds in left.values()), left


def test_what_is_awaited_is_read_from_the_registry_every_time(client: Any) -> None:
    register("a", status="pending", price_usd=None)
    for number in (1.0, 2.0):
        Token.update(price_usd=number).execute()
        assert price("a") == number
    assert client.keys() == []


def test_a_writer_replaces_what_was_read_before(client: Any) -> None:
    register("a")
    cache.cells(["a"])
    Token.update(price_usd=2.0, status="failed").execute()
    cache.write_through(["a"])
    assert json.loads(client.get("token:price:a"))["price_usd"] == 2.0
    assert cache.cells(["a"])["a"]["status"] == "failed"


def test_a_slow_reader_does_not_overwrite_a_writer(client: Any) -> None:
    register("a")
    opened, read = cache._cache, cache._from_table(["a"])
    assert opened
    Token.update(price_usd=2.0).execute()
    cache.write_through(["a"])
    opened.fill(read)
    assert price("a") == 2.0


def test_a_request_sends_its_readers_to_the_registry_even_those_in_the_middle_of_reading(client: Any) -> None:
    register("a", "other")
    cache.cells(["a", "other"])
    opened, read = cache._cache, cache._from_table(["a"])
    assert opened
    Token.update(priority=USER).where(Token.mint == "a").execute()
    cache.mark_loading(["a"])
    opened.fill(read)
    assert cache.cells(["a"])["a"]["awaited"]
    assert client.get("token:status:other") == "resolved"
    Token.update(priority=None, price_usd=3.0).where(Token.mint == "a").execute()
    cache.write_through(["a"])
    assert cache.cells(["a"])["a"] == cache._from_table(["a"])["a"]
    assert client.get("token:status:a") == "resolved"


def test_putting_what_is_awaited_or_unknown_takes_it_out(client: Any) -> None:
    register("a")
    cache.cells(["a"])
    Token.update(priority=USER, price_usd=4.0).execute()
    cache.write_through(["a", "unknown"])
    assert client.exists("token:price:a", "token:price:unknown") == 0
    assert cache.cells(["a", "unknown"]).keys() == {"a"}
    assert price("a") == 4.0


GOOD = {name: None for name in cache.FIELDS} | {"mint": "a", "attempts": 0, "price_usd": 7}


@pytest.mark.parametrize(
    ("stored", "status"),
    [
        ("", "resolved"),
        ("{", "resolved"),
        ("[]", "resolved"),
        ("null", "resolved"),
        ("\ud800".encode("utf-8", "surrogatepass"), "resolved"),
        ('{"mint": "a"}', "resolved"),
        (json.dumps(GOOD | {"mint": "b"}), "resolved"),
        (json.dumps(GOOD | {"price_usd": "7"}), "resolved"),
        (json.dumps(GOOD | {"price_usd": True}), "resolved"),
        (json.dumps(GOOD | {"price_usd": float("nan")}), "resolved"),
        (json.dumps(GOOD).replace("7", "1e400"), "resolved"),
        (json.dumps(GOOD | {"attempts": None}), "resolved"),
        (json.dumps(GOOD | {"name": ["x"]}), "resolved"),
        ("[" * 5000, "resolved"),
        (json.dumps(GOOD), None),
        (None, "resolved"),
        (json.dumps(GOOD), "pending"),
        (json.dumps(GOOD), "sold out"),
        (json.dumps(GOOD), b"\xff\xfe"),
    ],
)
def test_what_is_damaged_in_redis_counts_as_not_there(client: Any, stored: Any, status: Any) -> None:
    register("a")
    for key, value in zip(keys("a"), (stored, status), strict=True):
        if value is not None:
            client.set(key, value)
    assert price("a") == 1.5


def test_what_is_whole_in_redis_is_believed(client: Any) -> None:
    register("a")
    client.set("token:price:a", json.dumps(GOOD))
    client.set("token:status:a", "unlisted")
    assert cache.cells(["a"])["a"] == GOOD | {"status": "unlisted", "awaited": False}


def test_a_key_of_another_type_is_replaced(client: Any) -> None:
    register("a")
    client.rpush("token:price:a", "x")
    assert price("a") == 1.5
    cache.write_through(["a"])
    assert json.loads(client.get("token:price:a"))["price_usd"] == 1.5


def test_many_threads_read_while_redis_is_emptied(client: Any, tmp_path: pathlib.Path) -> None:
    register("a", "b")
    wrong: list[Any] = []

    def read() -> None:
        try:
            with database.session():
                for _ in range(100):
                    found = cache.cells(["a", "b"])
                    wrong.extend(cell for cell in found.values() if cell["price_usd"] != 1.5)
                    wrong.extend({"a", "b"} - found.keys())
        except Exception as fault:  # otherwise lost with the thread
            wrong.append(fault)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        client.flushall()
    for thread in threads:
        thread.join()
    assert wrong == []


class Away:
    """Counts the log lines about Redis, and ends the wait until it is tried again."""

    def __init__(self, caplog: pytest.LogCaptureFixture):
        caplog.set_level(logging.INFO, logger="tasks.enrichment.cache")
        self.caplog = caplog

    def said(self) -> list[str]:
        return [record.getMessage().split(" (")[0].split(":")[0] for record in self.caplog.records]

    def over(self) -> None:
        assert cache._cache
        assert cache._cache._guard._again_at is not None
        cache._cache._guard._again_at = 0.0


@pytest.fixture
def away(caplog: pytest.LogCaptureFixture) -> Away:
    return Away(caplog)


def test_after_a_restart_of_redis_missed_writes_are_not_shown(away: Away) -> None:
    """Old copies come back with Redis, as after a restart from its file."""
    register("a", "b", "c")
    with servers.redis_server() as server, redis.Redis.from_url(server.url) as client:
        use(server.url)
        cache.cells(["a", "b", "c"])
        server.stop()
        Token.update(price_usd=2.0).execute()
        assert [price("a"), price("a")] == [2.0, 2.0]
        cache.write_through(["a"])
        cache.mark_loading(["b"])
        assert away.said() == ["Redis is away"]
        server.start()
        for mint in "abc":
            client.set(f"token:price:{mint}", json.dumps(GOOD | {"mint": mint}))
            client.set(f"token:status:{mint}", "resolved")
        assert price("c") == 2.0, "not tried before the wait is over"
        away.over()
        assert [price(mint) for mint in "abc"] == [2.0, 2.0, 7]
        assert away.said() == ["Redis is away", "Redis is back"]
        assert json.loads(client.get("token:price:a"))["price_usd"] == 2.0


def test_a_refused_connection_is_tried_once_and_logged_once(away: Away) -> None:
    register("a")
    use(f"redis://127.0.0.1:{servers.free_port()}/0")
    for _ in range(3):
        assert price("a") == 1.5
        cache.write_through(["a"])
        cache.mark_loading(["a"])
        away.over()
    assert away.said() == ["Redis is away"]


def test_a_hanging_redis_is_tried_once_and_by_one_thread(away: Away) -> None:
    register("a")
    with socket.create_server(("127.0.0.1", 0), backlog=50) as deaf:
        use(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        for _ in range(3):
            assert price("a") == 1.5
        cache.write_through(["a"])
        deaf.setblocking(False)
        deaf.accept()[0].close()
        with pytest.raises(BlockingIOError):
            deaf.accept()
    assert away.said() == ["Redis is away"]


def test_a_redis_that_refuses_every_command_counts_as_away(away: Away, redis_url: str) -> None:
    register("a")
    use(redis_url.replace("redis://", "redis://nobody:wrong@"))
    assert price("a") == 1.5
    assert away.said() == ["Redis is away"]


def test_missed_writes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_MISSED", 5)
    use(f"redis://127.0.0.1:{servers.free_port()}/0")
    cache.mark_loading(str(number) for number in range(12))
    assert cache._cache
    assert list(cache._cache._missed) == ["7", "8", "9", "10", "11"]


def test_reopening_without_redis_stops_using_it(client: Any) -> None:
    register("a")
    cache.cells(["a"])
    Token.update(price_usd=2.0).execute()
    use(None)
    assert price("a") == 2.0
