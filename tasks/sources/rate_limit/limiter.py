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
from tasks.sources.rate_limit.redis_guard import RedisGuard
from tasks.sources.rate_limit.windows import LocalWindow, RedisWindow

log = logging.getLogger(__name__)

# The first request of a window may open a connection and so arrive later than the next ones: a longer window here keeps
# the service's own window from being exceeded.
MARGIN_S = 1
POLL_S = 0.1
REDIS_AWAY_S = 30.0

_limiters: dict[tuple[object, ...], RateLimiter] = {}
_closers: list[Callable[[], None]] = []
_lock = threading.Lock()

T = TypeVar("T")


class RateLimiter:
    """At most `per_s` units a second, counted over a sliding window of `window_s` seconds. Thread-safe.

    The window is stretched until one unit fits. With `redis_url`, limiters of the same name and rate share a window
    across processes and machines; while Redis is away, or has lost the window, each process keeps the rate alone.
    `paced`: the process spreads its units at the rate instead of spending a whole window at once, which a service that
    counts by the second refuses. `ValueError` unless `per_s` is a finite number above 0.
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
        self._guard = RedisGuard(
            log,
            redis.RedisError,
            away_s=REDIS_AWAY_S,
            without=f"this process keeps the rate of {name} alone",
            again=f"the rate of {name} is shared again",
            now=clock.now,
        )
        # Held by the caller that is next, so that small requests cannot overtake a large one forever.
        self._next_caller = threading.Lock()
        self._own_lock = threading.Lock()

    def acquire(self, cost: int = 1, stop: Stop | None = None) -> bool:
        """Wait until `cost` units fit the window and take them; False, with nothing taken, once `stop` returns True.

        `ValueError` unless `cost` is 1 to `capacity`.
        """
        if not 1 <= cost <= self.capacity:
            raise ValueError(f"{self.name} can give 1 to {self.capacity} units at once, not {cost}")
        while not self._next_caller.acquire(timeout=SLICE_S):
            if stop is not None and stop():
                return False
        try:
            return self._wait_for(cost, stop)
        finally:
            self._next_caller.release()

    def try_acquire(self, cost: int = 1, *, spare: int = 0, pace: int = 0) -> float:
        """Take `cost` units without waiting and return 0.0, unless fewer than `spare` would be left or during a pause.

        Otherwise return roughly the seconds to wait. With a `pace`, processes that share the limiter through Redis take
        at most that many units at once; a process alone has to keep its pace itself.
        """
        return self.paused_s() or self._take(cost, spare, pace)

    def pause(self, seconds: float) -> None:
        """Give no unit for `seconds` to any process that shares this limiter; a longer pause stays."""
        with self._own_lock:
            self._own.pause(seconds)
        self._through_redis(lambda shared: shared.pause(seconds))

    def paused_s(self) -> float:
        """Return the rest of the pause in seconds; 0.0 if there is none."""
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
        """Take from both windows: the local one knows the past if Redis is away, flushed or its clock changed."""
        with self._own_lock:
            rest, known = self._own.rest_s(cost, spare), self._own.used()
        if rest:
            return rest
        pace_s = pace / self._per_s
        shared_s = self._through_redis(lambda w: w.acquire(cost, spare, known=known, pace=pace, pace_s=pace_s))
        if shared_s:
            return shared_s
        with self._own_lock:
            return (self._start_s(cost) if shared_s is None else 0.0) or self._own.acquire(cost, spare)

    def _start_s(self, cost: int) -> float:
        """Return the seconds until `cost` units fit the rate since the process started; 0.0 after its first window.

        The process before this one may have spent its window just before it ended, and no record of that remains.
        """
        now = self._clock.now()
        if now >= self._paced_until:
            return 0.0
        return max(0.0, self._clock.started_at + (self._own.used() + cost) / self._per_s - now)

    def _through_redis(self, question: Callable[[RedisWindow], T]) -> T | None:
        """Query the shared window; None if there is none, or while Redis is away."""
        shared = self._shared
        return None if shared is None else self._guard.call(lambda: question(shared))


def sustained_per_s(per_s: float, window_s: int = 10) -> float:
    """Return the units a second that a limiter gives in the long run, after its margin."""
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
    """Return this process's limiter of a name and rate, made on first use."""
    key = (name, per_s, window_s, redis_url, clock, paced)
    with _lock:
        if key not in _limiters:
            _limiters[key] = RateLimiter(name, per_s, window_s, redis_url, clock, paced=paced)
        return _limiters[key]


def at_close(closer: Callable[[], None]) -> None:
    """Have `close_limiters` also call `closer`."""
    _closers.append(closer)


def close_limiters() -> None:
    """Close all connections to Redis and drop the limiters: at the end of a process, and after a fork."""
    with _lock:
        for limiter in _limiters.values():
            limiter.close()
        _limiters.clear()
        for closer in _closers:
            closer()
