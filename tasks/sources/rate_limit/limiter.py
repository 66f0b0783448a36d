"""Keeps the requests of all threads, and with Redis of all processes, under a service's rate.

Sends no request and knows no service. `windows.py` counts; `circuit.py` adds priorities and failures.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import TypeVar

import redis

from tasks.sources.rate_limit.clock import CLOCK, SLICE_S, Clock, Stop
from tasks.sources.rate_limit.windows import LocalWindow, RedisWindow

log = logging.getLogger(__name__)

# A request may reach the service later after its permission than the next one does: the first of a window over a new
# connection, the rest over an open one. The window is kept longer by this, so that the service's own is never exceeded.
MARGIN_S = 1
POLL_S = 0.1
REDIS_AWAY_S = 30.0

_limiters: dict[tuple[object, ...], RateLimiter] = {}
_endings: list[Callable[[], None]] = []
_lock = threading.Lock()

T = TypeVar("T")


class RateLimiter:
    """At most `per_s` units a second, counted over a moving window, for everybody who uses the same limiter.

    `window_s` is the window that the service counts in; below one unit a window it is stretched until one fits.
    With `redis_url`, limiters of the same name and rate share their window across processes and machines, on the clock
    of Redis; while Redis is away, or has lost the window, each process still keeps the rate alone. `paced`: after so
    many units this process waits until their time at the rate is over, instead of spending a whole window at once,
    which a service that counts by the second would refuse. `ValueError` when `per_s` is not a finite number above 0.
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
        self._per_s = per_s
        self._unit_s = 1 / per_s if paced else 0.0
        self._next_at = -math.inf
        self._own = LocalWindow(self.capacity, window_s + MARGIN_S, clock)
        self._paced_until = clock.started_at + window_s + MARGIN_S
        self._shared = RedisWindow(name, self.capacity, window_s + MARGIN_S, redis_url) if redis_url else None
        self._redis_again_at = -math.inf
        # Held by whoever waits next, so that small requests cannot for ever overtake a large one.
        self._turn = threading.Lock()
        self._own_lock = threading.Lock()

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

    def try_acquire(self, cost: int = 1, *, spare: int = 0, pace: int = 0) -> float:
        """Take `cost` units, unless fewer than `spare` would be left or there is a pause; waits for nothing.

        0.0 when they were taken, else about how many seconds later they may be. With a `pace`, processes that share the
        limiter take no more than so many units in their time at the rate; one alone keeps its pace itself.
        """
        return self.paused_s() or self._take(cost, spare, pace)

    def pause(self, seconds: float) -> None:
        """Let nobody who shares this limiter go before `seconds` have passed; a longer pause stays."""
        with self._own_lock:
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
            rest = self._take(cost)
            if not rest:
                self._next_at = max(self._next_at, self._clock.now()) + cost * self._unit_s
                return True
            self._clock.sleep(min(rest, POLL_S))
        return False

    def _take(self, cost: int, spare: int = 0, pace: int = 0) -> float:
        """Take from both windows: the own one knows the past when Redis goes away, was flushed or was set forward."""
        with self._own_lock:
            rest, known = self._own.rest_s(cost, spare), self._own.held()
        if rest:
            return rest
        pace_s = pace / self._per_s
        shared_s = self._through_redis(lambda w: w.take(cost, spare, known=known, pace=pace, pace_s=pace_s))
        if shared_s:
            return shared_s
        with self._own_lock:
            return (self._start_s(cost) if shared_s is None else 0.0) or self._own.take(cost, spare)

    def _start_s(self, cost: int) -> float:
        """Return the seconds until `cost` units fit the rate since the process started; 0.0 after its first window.

        The process before this one may have spent its window just before it ended, and no record of that remains.
        """
        now = self._clock.now()
        if now >= self._paced_until:
            return 0.0
        return max(0.0, self._clock.started_at + (self._own.held() + cost) / self._per_s - now)

    def _through_redis(self, question: Callable[[RedisWindow], T]) -> T | None:
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


def at_close(ending: Callable[[], None]) -> None:
    """Have `close_limiters` call `ending` too, for what is built on limiters."""
    _endings.append(ending)


def close_limiters() -> None:
    """Close all connections to Redis and forget the limiters: at the end of a process, and after a fork."""
    with _lock:
        for limiter in _limiters.values():
            limiter.close()
        _limiters.clear()
        for ending in _endings:
            ending()
