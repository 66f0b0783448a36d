"""Keeps the requests of all threads, and with Redis of all processes, under a service's rate. It sends no request and
knows no service; the counting is done by the library `limits`.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import redis
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.sources.waiting import CLOCK, SLICE_S, Clock, Stop

log = logging.getLogger(__name__)

# A request may reach the service later after its permission than the next one does: the first of a window over a new
# connection, the rest over an open one. The window is kept longer by this, so that the service's own is never exceeded.
MARGIN_S = 1
POLL_S = 0.1
REDIS_AWAY_S = 30.0
REDIS_TIMEOUT_S = 1.0

_limiters: dict[tuple[object, ...], RateLimiter] = {}
_lock = threading.Lock()

T = TypeVar("T")


class Window(Protocol):
    """Where the permissions of one limiter are counted."""

    def hit(self, cost: int) -> bool: ...
    def pause(self, seconds: float) -> None: ...
    def paused_s(self) -> float: ...


class OwnWindow:
    """The permissions of this process alone, in its memory."""

    def __init__(self, item: RateLimitItem, name: str, clock: Clock):
        self._item, self._name, self._clock = item, name, clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._until = -math.inf
        # MemoryStorage drops a key's lock when the key has run empty, while somebody may be waiting for it.
        self._lock = threading.Lock()

    def hit(self, cost: int) -> bool:
        with self._lock:
            return self._limiter.hit(self._item, self._name, cost=cost)

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, self._clock.now() + seconds)

    def paused_s(self) -> float:
        return max(0.0, self._until - self._clock.now())


class SharedWindow:
    """The permissions of every process that uses the same Redis. Its methods raise `redis.RedisError`."""

    def __init__(self, item: RateLimitItem, name: str, redis_url: str):
        self._item, self._name = item, name
        self._pool = redis.ConnectionPool.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._limiter = MovingWindowRateLimiter(RedisStorage(redis_url, connection_pool=self._pool))
        self._redis = redis.Redis(connection_pool=self._pool)
        self._pause_key = f"walletkin:pause:{name}"

    def hit(self, cost: int) -> bool:
        return self._limiter.hit(self._item, self._name, cost=cost)

    def pause(self, seconds: float) -> None:
        if seconds > self.paused_s():
            self._redis.set(self._pause_key, 1, px=max(1, math.ceil(seconds * 1000)))

    def paused_s(self) -> float:
        return max(0, int(self._redis.pttl(self._pause_key))) / 1000

    def close(self) -> None:
        self._pool.disconnect()


class RateLimiter:
    """At most `per_s` units a second, counted over a moving window, for everybody who uses the same limiter.

    `window_s` is the window that the service counts in; below one unit a window it is stretched until one fits.
    With `redis_url`, limiters of the same name and rate share their window across processes and machines (whose clocks
    must agree within a second); while Redis is away each process keeps the rate alone. `paced`: after so many units
    this process waits until their time at the rate is over, instead of spending a whole window at once, which a service
    that counts by the second would refuse. `ValueError` when `per_s` is not a finite number above 0.
    """

    def __init__(
        self,
        name: str,
        per_s: float,
        window_s: int = 10,
        redis_url: str | None = None,
        clock: Clock = CLOCK,
        *,
        paced: bool = False,
    ):
        if not (math.isfinite(per_s) and per_s > 0):
            raise ValueError(f"the rate of {name} must be a finite number above 0, not {per_s}")
        window_s = max(window_s, math.ceil(1 / per_s - 1e-9))
        self.name = name
        self.capacity = max(1, math.floor(per_s * window_s + 1e-9))
        self._clock = clock
        self._unit_s = 1 / per_s if paced else 0.0
        self._next_at = -math.inf
        item = RateLimitItemPerSecond(self.capacity, window_s + MARGIN_S, namespace="walletkin")
        self._own = OwnWindow(item, name, clock)
        self._shared = SharedWindow(item, name, redis_url) if redis_url else None
        self._redis_again_at = -math.inf
        # Held by whoever waits next, so that small requests cannot for ever overtake a large one.
        self._turn = threading.Lock()

    def acquire(self, cost: int = 1, stop: Stop | None = None) -> bool:
        """Wait until `cost` units fit the window and take them; False, with nothing taken, once `stop` says so.

        `cost` is 1 to `capacity`, else `ValueError`.
        """
        if not 1 <= cost <= self.capacity:
            raise ValueError(f"{self.name} can give 1 to {self.capacity} units at once, not {cost}")
        while not self._turn.acquire(timeout=SLICE_S):
            if stop is not None and stop():
                return False
        try:
            return self._wait_for(cost, stop)
        finally:
            self._turn.release()

    def pause(self, seconds: float) -> None:
        """Let nobody who shares this limiter go before `seconds` have passed; a longer pause stays."""
        self._own.pause(seconds)
        self._through_redis(lambda shared: shared.pause(seconds))

    def paused_s(self) -> float:
        """How long the pause still lasts, in seconds; 0.0 when there is none."""
        return max(self._own.paused_s(), self._through_redis(lambda shared: shared.paused_s()) or 0.0)

    def close(self) -> None:
        """Close the connections to Redis. The next call opens new ones."""
        if self._shared is not None:
            self._shared.close()

    def _wait_for(self, cost: int, stop: Stop | None) -> bool:
        while self._clock.wait(max(self.paused_s(), self._next_at - self._clock.now()), stop):
            if self._hit(cost):
                self._next_at = max(self._next_at, self._clock.now()) + cost * self._unit_s
                return True
            self._clock.sleep(POLL_S)
        return False

    def _hit(self, cost: int) -> bool:
        """Take from the shared window. The own one is told, so that it knows the past when Redis goes away."""
        shared = self._through_redis(lambda window: window.hit(cost))
        if shared is None:
            return self._own.hit(cost)
        if shared:
            self._own.hit(cost)
        return shared

    def _through_redis(self, question: Callable[[Window], T]) -> T | None:
        """Ask the shared window; None when there is none, or while Redis is away."""
        if self._shared is None or self._clock.now() < self._redis_again_at:
            return None
        try:
            answer = question(self._shared)
        except redis.RedisError as error:
            self._lose_redis(error)
            return None
        if self._redis_again_at > -math.inf:
            self._redis_again_at = -math.inf
            log.info("Redis is back: the rate of %s is shared again", self.name)
        return answer

    def _lose_redis(self, error: redis.RedisError) -> None:
        if self._redis_again_at == -math.inf:
            reason = type(error).__name__
            log.warning("Redis is away (%s): this process keeps the rate of %s alone", reason, self.name)
        self._redis_again_at = self._clock.now() + REDIS_AWAY_S


def sustained_per_s(per_s: float, window_s: int = 10) -> float:
    """Return how many units a second a limiter of a rate gives over a long time, its margin taken off."""
    return per_s * window_s / (window_s + MARGIN_S)


def limiter_for(
    name: str,
    per_s: float,
    window_s: int = 10,
    redis_url: str | None = None,
    clock: Clock = CLOCK,
    *,
    paced: bool = False,
) -> RateLimiter:
    """Return the process's one limiter of this name and rate, making it for the first that asks."""
    key = (name, per_s, window_s, redis_url, clock, paced)
    with _lock:
        if key not in _limiters:
            _limiters[key] = RateLimiter(name, per_s, window_s, redis_url, clock, paced=paced)
        return _limiters[key]


def close_limiters() -> None:
    """Close all connections to Redis and forget the limiters: at the end of a process, and after a fork."""
    with _lock:
        for limiter in _limiters.values():
            limiter.close()
        _limiters.clear()
