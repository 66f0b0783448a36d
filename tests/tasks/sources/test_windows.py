"""Sliding windows (`tasks/sources/rate_limit/windows.py`): changed clocks, and a Redis that loses its data."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator

import pytest
import redis

from tasks.sources.rate_limit.clock import Clock
from tasks.sources.rate_limit.limiter import RateLimiter
from tasks.sources.rate_limit.windows import LocalWindow, RedisWindow
from tests.support.scripted_service import FakeClock


@pytest.fixture
def shared(redis_url: str) -> Iterator[RedisWindow]:
    window = RedisWindow(uuid.uuid4().hex, 10, 60, redis_url)
    yield window
    window.close()


@pytest.fixture
def database(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def times(database: redis.Redis, shared: RedisWindow) -> list[float]:
    return [float(stamp) for stamp in database.lrange(shared.window_key, 0, -1)]  # type: ignore[union-attr]


def test_the_local_window_returns_the_wait(clock: FakeClock) -> None:
    window = LocalWindow(10, 60, clock.clock)
    assert window.acquire(4) == 0
    clock.time += 10
    assert window.acquire(6) == 0
    assert window.acquire(4) == pytest.approx(50)
    assert window.acquire(5) == pytest.approx(60)
    assert window.rest_s(2, spare=2) == pytest.approx(50)
    clock.time += 50.1
    assert window.acquire(3, spare=1) == 0
    assert window.acquire(1, spare=1) > 0
    assert window.acquire(1) == 0
    assert window.acquire(11) == 60  # will never fit


def test_the_local_window_ignores_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RateLimiter("x", 1, 10, clock=Clock(started_at=-math.inf))
    wall = time.time()
    assert limiter.try_acquire(10) == 0
    for moved in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda moved=moved: wall + moved)
        assert 5 < limiter.try_acquire(1) <= 11


def test_the_shared_window_returns_the_wait(shared: RedisWindow, database: redis.Redis) -> None:
    assert shared.acquire(6, spare=4) == 0
    assert 30 < shared.acquire(1, spare=4) <= 60
    assert shared.acquire(4) == 0
    assert 30 < shared.acquire(1) <= 60
    assert shared.acquire(11) == 60
    assert len(times(database, shared)) == 10
    assert 35_000 < database.pttl(shared.window_key) <= 65_000  # type: ignore[operator]


def test_the_shared_window_keeps_a_pace(shared: RedisWindow) -> None:
    assert [shared.acquire(1, pace=3, pace_s=20) for _ in range(3)] == [0] * 3
    assert 10 < shared.acquire(1, pace=3, pace_s=20) <= 20
    assert shared.acquire(1, pace=4, pace_s=20) == 0
    assert 10 < shared.acquire(2, pace=4, pace_s=20) <= 20
    assert shared.acquire(1) == 0


def test_the_shared_window_moves(shared: RedisWindow, database: redis.Redis) -> None:
    past = time.time() - 30
    database.lpush(shared.window_key, *[past] * 10)
    assert 0 < shared.acquire(1) <= 30
    database.delete(shared.window_key)
    database.lpush(shared.window_key, *[past - 31] * 10)
    assert shared.acquire(10) == 0
    assert len(times(database, shared)) == 10


def test_a_client_whose_clock_is_wrong_counts_like_the_others(
    shared: RedisWindow, database: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall - 3600)
    assert shared.acquire(5) == 0
    monkeypatch.setattr(time, "time", lambda: wall + 3600)
    assert shared.acquire(6) > 0
    assert shared.acquire(5) == 0
    assert max(abs(at - wall) for at in times(database, shared)) < 600


def test_a_redis_whose_clock_was_set_back_blocks_for_one_window(shared: RedisWindow, database: redis.Redis) -> None:
    database.lpush(shared.window_key, *[time.time() + 3600] * 10)
    assert 30 < shared.acquire(1) <= 60
    assert max(times(database, shared)) < time.time() + 60
    assert len(times(database, shared)) == 10


def test_a_redis_whose_clock_was_set_back_still_counts_what_was_taken(
    shared: RedisWindow, database: redis.Redis
) -> None:
    database.lpush(shared.window_key, *[time.time() + 3600] * 4)
    assert shared.acquire(7) > 0
    assert shared.acquire(6) == 0
    assert shared.acquire(1) > 0


def test_a_lost_window_counts_as_used_at_the_rate(shared: RedisWindow, database: redis.Redis) -> None:
    assert shared.acquire(3) == 0
    database.delete(shared.window_key)
    assert 0 < shared.acquire(1, known=3) <= 6  # ten in sixty seconds
    assert 6 < shared.acquire(1, spare=4) <= 30
    assert shared.acquire(1, known=9) > 0  # filled once
    stamps = times(database, shared)
    assert [a - b for a, b in zip(stamps, stamps[1:], strict=False)] == pytest.approx([6] * 9)


def test_a_window_that_others_filled_is_not_lost(shared: RedisWindow) -> None:
    assert shared.acquire(3) == 0
    assert shared.acquire(2, known=3) == 0
    assert shared.acquire(5, known=0) == 0


def test_processes_keep_the_rate_after_redis_lost_the_window(redis_url: str, clock: FakeClock) -> None:
    name = uuid.uuid4().hex
    one, other = (RateLimiter(name, 1, 10, redis_url, clock.clock) for _ in range(2))
    assert one.try_acquire(5) == other.try_acquire(4) == 0
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"walletkin:window:{name}:10/11")
    assert one.try_acquire(1) > 0
    assert other.try_acquire(1) > 0
    one.close()
    other.close()


def test_a_pause_from_before_a_change_of_the_clock_ends(shared: RedisWindow, database: redis.Redis) -> None:
    database.set(shared.pause_key, 1, ex=3600)
    assert shared.paused_s() == 0
    shared.pause(20)
    assert 10 < shared.paused_s() <= 20
    shared.pause(5000)
    assert shared.paused_s() <= 300


def test_a_redis_without_its_data_does_not_raise_the_rate(
    redis_url: str, database: redis.Redis, clock: FakeClock
) -> None:
    limiter = RateLimiter(uuid.uuid4().hex, 1, 10, redis_url, clock.clock)
    assert limiter.try_acquire(10) == 0
    for key in database.scan_iter(f"*{limiter.name}*"):
        database.delete(key)
    assert limiter.try_acquire(1) == pytest.approx(11)
    clock.time += 11.1
    assert limiter.try_acquire(10) == 0
    limiter.close()


def test_try_acquire_never_waits(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 1, 10, clock=clock.clock)
    assert limiter.try_acquire(7, spare=3) == 0
    assert limiter.try_acquire(1, spare=3) == pytest.approx(11)
    assert limiter.try_acquire(3) == 0
    limiter.pause(50)
    assert limiter.try_acquire() == 50
    assert clock.slept == []


def test_spare_units_are_kept_on_redis(redis_url: str, clock: FakeClock) -> None:
    name = uuid.uuid4().hex
    one, other = (RateLimiter(name, 1, 10, redis_url, clock.clock) for _ in range(2))
    assert one.try_acquire(7) == 0
    assert other.try_acquire(1, spare=3) > 0
    assert other.try_acquire(3) == 0
    one.close()
    other.close()
