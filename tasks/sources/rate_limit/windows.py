"""Counts the units of a sliding window: in this process's memory, or in a Redis that processes share.

Never waits; `limiter.py` does. Neither window uses the wall clock of a client, as the library `limits` does: one set
back blocks that machine while others fill the window, one set forward empties the window.
"""

from __future__ import annotations

import math
from collections import deque

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.sources.rate_limit.clock import Clock

REDIS_TIMEOUT_S = 1.0
LONGEST_PAUSE_S = 300.0

EXPIRY_MARGIN_MS = 5000  # a list outlives its window, so that it never expires before the local windows
MOST_REFILLED = 10_000

# The list holds the time of each unit, newest first, by Redis's clock. A newest time ahead of that clock means that the
# clock was set back: all units then count as taken now, which blocks for at most one window and never exceeds the rate.
# A list shorter than what one process has taken was lost, or Redis was away: every process may have used the full rate,
# so the window is filled as if they had, and empties at the rate.
ACQUIRE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local capacity, room, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, pace, pace_s = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local expiry_margin, most_refilled = tonumber(ARGV[8]), tonumber(ARGV[9])

local function push(units, apart)
    for unit = 1, units do
        redis.call('LPUSH', KEYS[1], string.format('%.6f', now - (units - unit) * apart))
    end
    redis.call('LTRIM', KEYS[1], 0, capacity - 1)
    redis.call('PEXPIRE', KEYS[1], math.ceil(window * 1000) + expiry_margin)
end

local newest, held = redis.call('LINDEX', KEYS[1], 0), redis.call('LLEN', KEYS[1])
if held < known and capacity <= most_refilled then
    redis.call('DEL', KEYS[1])
    push(capacity, window / capacity)
elseif newest and tonumber(newest) > now + 1 then
    redis.call('DEL', KEYS[1])
    push(held, 0)
end
if cost > room then return tostring(window) end
local function rest_of(place, seconds)
    local stamp = redis.call('LINDEX', KEYS[1], place)
    return stamp and tonumber(stamp) + seconds - now or 0
end
local rest = rest_of(room - cost, window)
if pace > 0 then rest = math.max(rest, rest_of(math.max(pace - cost, 0), pace_s)) end
if rest > 0 then return string.format('%.6f', rest) end
push(cost, 0)
return '0'
"""


class LocalWindow:
    """The units used by this process, on a monotonic clock. Not thread-safe."""

    def __init__(self, capacity: int, window_s: float, clock: Clock):
        self._capacity, self._window_s, self._clock = capacity, window_s, clock
        self._taken: deque[tuple[float, int]] = deque()
        self._units = 0
        self._until = -math.inf

    def acquire(self, cost: int, spare: int = 0) -> float:
        """Count `cost` units and return 0.0 if they fit and leave `spare` units free.

        Otherwise count nothing and return the seconds until they may fit.
        """
        if (rest := self.rest_s(cost, spare)) > 0:
            return rest
        self._taken.append((self._clock.now(), cost))
        self._units += cost
        return 0.0

    def used(self) -> int:
        """Return the units in the window now."""
        since = self._clock.now() - self._window_s
        while self._taken and self._taken[0][0] < since:
            self._units -= self._taken.popleft()[1]
        return self._units

    def rest_s(self, cost: int, spare: int = 0) -> float:
        """What `take` would return, with nothing taken."""
        now = self._clock.now()
        excess = self.used() + cost + spare - self._capacity
        if excess <= 0:
            return 0.0
        for at, units in self._taken:
            excess -= units
            if excess <= 0:
                # Exactly one window later still counts as inside it, so the wait is never 0.
                return max(at + self._window_s - now, 1e-3)
        return self._window_s

    def pause(self, seconds: float) -> None:
        self._until = max(self._until, self._clock.now() + seconds)

    def paused_s(self) -> float:
        return max(0.0, self._until - self._clock.now())


class RedisWindow:
    """The units used by all processes that share a Redis, on its clock. Methods raise `redis.RedisError`."""

    def __init__(self, name: str, capacity: int, window_s: float, redis_url: str):
        self._capacity, self._window_s = capacity, window_s
        self._pool = redis.ConnectionPool.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._redis = redis.Redis(connection_pool=self._pool)
        self._script = self._redis.register_script(ACQUIRE)
        self.window_key = f"walletkin:window:{name}:{capacity}/{window_s:g}"
        self.pause_key = f"walletkin:pause:{name}"

    def acquire(self, cost: int, spare: int = 0, *, known: int = 0, pace: int = 0, pace_s: float = 0.0) -> float:
        """As `LocalWindow.acquire`. `known`: units of the window that this process used itself. With a `pace`, at most
        that many units are given in any `pace_s` seconds.
        """
        sizes = [self._capacity, self._capacity - spare, self._window_s, cost]
        return float(self._script([self.window_key], [*sizes, known, pace, pace_s, EXPIRY_MARGIN_MS, MOST_REFILLED]))

    def pause(self, seconds: float) -> None:
        if seconds > self.paused_s():
            most = min(seconds, LONGEST_PAUSE_S)
            self._redis.set(self.pause_key, 1, px=max(1, math.ceil(most * 1000)))

    def paused_s(self) -> float:
        """Return the rest of the pause in seconds. A too long one dates from before Redis's clock was set back."""
        rest = max(0, int(self._redis.pttl(self.pause_key))) / 1000
        if rest <= LONGEST_PAUSE_S:
            return rest
        self._redis.delete(self.pause_key)
        return 0.0

    def close(self) -> None:
        self._pool.disconnect()
