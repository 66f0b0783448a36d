"""Counts the permissions of a moving window: in this process's memory, or in a Redis that processes share. Waits for
nobody: that is `limits.py`'s.

Both count on a clock of their own choice. The library `limits` counts by each client's wall clock: set back, it blocks
every machine whose clock runs behind for as long as others keep the window full; set forward, it forgets the window.
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

KEPT_LONGER_MS = 5000  # than the window, so that a list never ends before what the processes remember of it
MOST_REFILLED = 10_000

# The list holds the time of each unit, newest first, by Redis's own clock. A newest time ahead of that clock means that
# it was set back: what is held then counts as taken now, which blocks for a window at most and lets no more through.
# A list that is shorter than what one process alone has taken was lost, or Redis was away: all may have asked as fast
# as the rate allows, so the window is filled as if they had, and empties at the rate.
TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local capacity, room, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known, pace, pace_s = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local kept_longer, most_refilled = tonumber(ARGV[8]), tonumber(ARGV[9])

local function push(units, apart)
    for unit = 1, units do
        redis.call('LPUSH', KEYS[1], string.format('%.6f', now - (units - unit) * apart))
    end
    redis.call('LTRIM', KEYS[1], 0, capacity - 1)
    redis.call('PEXPIRE', KEYS[1], math.ceil(window * 1000) + kept_longer)
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
    """The permissions of this process alone, on a clock that nobody can set. Not for several threads at once."""

    def __init__(self, capacity: int, window_s: float, clock: Clock):
        self._capacity, self._window_s, self._clock = capacity, window_s, clock
        self._taken: deque[tuple[float, int]] = deque()
        self._units = 0
        self._until = -math.inf

    def take(self, cost: int, spare: int = 0) -> float:
        """Count `cost` units and return 0.0 when they fit with `spare` more left over; else count nothing and return
        the seconds until they may fit.
        """
        if (rest := self.rest_s(cost, spare)) > 0:
            return rest
        self._taken.append((self._clock.now(), cost))
        self._units += cost
        return 0.0

    def held(self) -> int:
        """How many units are in the window now."""
        since = self._clock.now() - self._window_s
        while self._taken and self._taken[0][0] < since:
            self._units -= self._taken.popleft()[1]
        return self._units

    def rest_s(self, cost: int, spare: int = 0) -> float:
        """What `take` would return, with nothing taken."""
        now = self._clock.now()
        excess = self.held() + cost + spare - self._capacity
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
    """The permissions of every process that uses the same Redis, on its clock. Methods raise `redis.RedisError`."""

    def __init__(self, name: str, capacity: int, window_s: float, redis_url: str):
        self._capacity, self._window_s = capacity, window_s
        self._pool = redis.ConnectionPool.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        self._redis = redis.Redis(connection_pool=self._pool)
        self._script = self._redis.register_script(TAKE)
        self._window_key = f"walletkin:window:{name}:{capacity}/{window_s:g}"
        self._pause_key = f"walletkin:pause:{name}"

    def take(self, cost: int, spare: int = 0, *, known: int = 0, pace: int = 0, pace_s: float = 0.0) -> float:
        """As `OwnWindow.take`. `known` is how many units of the window the caller has taken itself; with a `pace`, at
        most so many units may be taken in any `pace_s` seconds.
        """
        sizes = [self._capacity, self._capacity - spare, self._window_s, cost]
        return float(self._script([self._window_key], [*sizes, known, pace, pace_s, KEPT_LONGER_MS, MOST_REFILLED]))

    def pause(self, seconds: float) -> None:
        if seconds > self.paused_s():
            most = min(seconds, LONGEST_PAUSE_S)
            self._redis.set(self._pause_key, 1, px=max(1, math.ceil(most * 1000)))

    def paused_s(self) -> float:
        """How long the pause lasts. Redis dates it by its wall clock: one that is too long is from before a change."""
        rest = max(0, int(self._redis.pttl(self._pause_key))) / 1000
        if rest <= LONGEST_PAUSE_S:
            return rest
        self._redis.delete(self._pause_key)
        return 0.0

    def close(self) -> None:
        self._pool.disconnect()
