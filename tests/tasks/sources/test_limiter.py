"""The rate limiter of outside services (`tasks/sources/rate_limit/limiter.py`), in memory and on Redis."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.sources.rate_limit.limiter import RateLimiter, limiter_for
from tests.support.scripted_service import FakeClock
from tests.support.waiting import HANG_S

NOWHERE = "unix:///nowhere/redis.sock"


def after(polls: int) -> Callable[[], bool]:
    """A `stop` that returns True after so many calls."""
    left = iter(range(polls))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("seed", range(4))
def test_it_never_gives_more_than_the_capacity_in_any_window(clock: FakeClock, seed: int) -> None:
    chance = random.Random(seed)
    limiter = RateLimiter("x", 2.5, clock=clock.clock)
    given: list[tuple[float, int]] = []
    for _ in range(40):
        cost = chance.choice([1, 1, 2, 7, 25])
        assert limiter.acquire(cost)
        given.append((clock.now(), cost))
        clock.time += chance.choice([0, 0, 0.3, 3])
    for start, _ in given:
        assert sum(cost for at, cost in given if start <= at <= start + 10) <= limiter.capacity == 25


def test_it_waits_no_longer_than_it_must(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 4, clock=clock.clock)
    start = clock.now()
    for _ in range(3):
        limiter.acquire(40)
    assert 22 <= clock.now() - start <= 22.5
    assert max(clock.slept) <= 0.5


def test_a_paced_limiter_spreads_its_units(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 60, clock=clock.clock, paced=True)
    start = clock.now()
    given = []
    for cost in (1, 100, 1, 100, 60):
        limiter.acquire(cost)
        given.append(clock.now() - start)
    assert given == pytest.approx([0, 1 / 60, 101 / 60, 102 / 60, 202 / 60], abs=0.01)


@pytest.mark.parametrize(
    ("per_s", "capacity"), [(0.01, 1), (0.05, 1), (0.1, 1), (0.15, 1), (0.29, 2), (0.3, 3), (4, 40), (1e6, 10**7)]
)
def test_it_knows_its_capacity(per_s: float, capacity: int) -> None:
    assert RateLimiter("x", per_s).capacity == capacity


def test_a_slow_rate_has_a_longer_window(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 0.01, clock=clock.clock)
    start = clock.now()
    limiter.acquire()
    limiter.acquire()
    assert 100 < clock.now() - start < 102


@pytest.mark.parametrize("per_s", [0, -1, float("inf"), float("nan")])
def test_it_refuses_an_invalid_rate(per_s: float) -> None:
    with pytest.raises(ValueError, match="finite number above 0"):
        RateLimiter("x", per_s)


@pytest.mark.parametrize("cost", [0, -1, 41])
def test_it_refuses_a_cost_that_never_fits(cost: int) -> None:
    with pytest.raises(ValueError, match="1 to 40 units"):
        RateLimiter("x", 4).acquire(cost)


def test_it_stops_on_request(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 0.1, clock=clock.clock)
    assert not limiter.acquire(stop=lambda: True)
    assert limiter.acquire()  # a stopped one took nothing
    start = clock.now()
    assert not limiter.acquire(stop=after(5))
    assert clock.now() - start < 1


def test_a_pause_applies_to_all_callers(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 100, clock=clock.clock)
    start = clock.now()
    limiter.pause(7)
    limiter.pause(3)  # the longer one stays
    assert limiter.paused_s() == 7
    assert limiter.acquire()
    assert clock.now() - start == pytest.approx(7)
    assert limiter.paused_s() == 0


def test_a_pause_can_be_stopped(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 100, clock=clock.clock)
    limiter.pause(100)
    assert not limiter.acquire(stop=after(3))
    assert max(clock.slept) == 0.5


def test_threads_share_a_limiter(clock: FakeClock) -> None:
    limiter = RateLimiter("x", 5, clock=clock.clock)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(limiter.try_acquire, [10] * 8))
    assert taken.count(0) == 5


@pytest.mark.parametrize("every_s", [1, 7, 1000])
def test_restarts_never_give_more_than_a_paced_start_allows(clock: FakeClock, every_s: int) -> None:
    given: list[float] = []
    assert RateLimiter("x", 5, clock=clock.clock).acquire(50)
    for step in range(2000):
        if step % (every_s * 100) == 0:
            clock.restart()
            limiter = RateLimiter("x", 5, clock=clock.clock)
        given += [clock.now()] * (limiter.try_acquire() == 0)
        clock.time += 0.01
    assert len(given) >= 80
    for start in given:
        assert sum(start <= at <= start + 10 for at in given) <= 51


def test_a_batch_waits_for_its_share_of_a_paced_start(clock: FakeClock) -> None:
    clock.restart()
    limiter = RateLimiter("x", 5, clock=clock.clock)
    assert limiter.try_acquire(40) == pytest.approx(8)
    clock.time += 8.01
    assert limiter.try_acquire(40) == 0
    assert limiter.try_acquire(10) == pytest.approx(2, abs=0.1)
    clock.time += 3
    assert limiter.try_acquire(10) == 0


def test_small_requests_do_not_overtake_a_large_one(clock: FakeClock) -> None:
    large_waits = threading.Event()

    def sleep(seconds: float) -> None:
        large_waits.set()
        time.sleep(0.001)
        clock.time += seconds

    limiter = RateLimiter("x", 4, clock=dataclasses.replace(clock.clock, sleep=sleep))
    limiter.acquire(40)
    order: list[str] = []

    def take(name: str, cost: int) -> None:
        limiter.acquire(cost)
        order.append(name)

    large = threading.Thread(target=take, args=["large", 40])
    large.start()
    assert large_waits.wait(HANG_S)
    small = threading.Thread(target=take, args=["small", 1])
    small.start()
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_the_process_shares_a_limiter_by_name_and_rate() -> None:
    assert limiter_for("x", 4) is limiter_for("x", 4)
    assert limiter_for("x", 4) is not limiter_for("x", 5)
    assert limiter_for("x", 4) is not limiter_for("y", 4)


Pair = tuple[RateLimiter, RateLimiter]


@pytest.fixture
def pair(redis_url: str, clock: FakeClock) -> Iterator[Pair]:
    """Two limiters of one name on one Redis, as in two processes."""
    name = uuid.uuid4().hex
    both = RateLimiter(name, 4, 10, redis_url, clock.clock), RateLimiter(name, 4, 10, redis_url, clock.clock)
    yield both
    for limiter in both:
        limiter.close()


def test_processes_share_the_window_on_redis(pair: Pair) -> None:
    one, other = pair
    assert one.acquire(30)
    assert not other.acquire(11, stop=after(3))
    assert other.acquire(10, stop=after(3))
    assert not one.acquire(1, stop=after(3))


def test_processes_share_a_pause_on_redis(pair: Pair) -> None:
    one, other = pair
    one.pause(60)
    one.pause(5)
    assert 5 < other.paused_s() <= 60
    assert not other.acquire(stop=after(3))


def test_a_pause_on_redis_ends(pair: Pair, clock: FakeClock) -> None:
    one, other = pair
    one.pause(0.01)
    time.sleep(0.03)
    clock.time += 1
    assert other.acquire(stop=after(3))


def test_without_redis_it_keeps_the_rate_alone(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter("x", 4, 10, NOWHERE, clock.clock)
    start = clock.now()
    for _ in range(5):
        assert limiter.acquire(40)
    limiter.pause(100)
    assert limiter.acquire()
    assert clock.now() - start > 140
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "Redis is away (ConnectionError): this process keeps the rate of x alone"
    ]


def test_it_knows_the_past_when_redis_goes_and_shares_again_when_it_returns(
    pair: Pair, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, other = pair
    assert one.acquire(40)
    away, one._shared = one._shared, RateLimiter("x", 4, 10, NOWHERE)._shared
    assert not one.acquire(1, stop=after(3))
    one._shared = away
    clock.time += 31
    assert not one.acquire(1, stop=after(3))  # Redis counts on its own clock, and there the window is still full
    assert "Redis is back" in caplog.text
