"""A circuit breaker for each market service: permission to send a request, at the service's rate and urgent ones first.

Sends nothing; `limiter.py` counts. `enrichment/fetcher.py` takes permissions, `market/client.py` reports answers.
"""

from __future__ import annotations

import math
import threading
from collections import deque

from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop, backoff_s
from tasks.sources.rate_limit.limiter import RateLimiter, at_close, limiter_for

SOONEST_S, LATEST_S = 0.02, 1.0
DUE_S = 1e-3  # rounding: due within a millisecond is due
PROBE_POLL_S = 0.1
UNREPORTED_S = 30.0
LONGEST_BACKOFF_S = 5.0
LONGEST_PAUSE_S = 30.0
HALF_OPEN_AFTER = 2  # consecutive failures

_circuits: dict[tuple[object, ...], CircuitBreaker] = {}
_lock = threading.Lock()


class CircuitBreaker:
    """Permissions to send requests to one service. Thread-safe.

    Each permission is followed by at most one request and exactly one report: `succeeded`, `failed` or `unused`. Up to
    `burst` requests that the pace allowed earlier may be made up at once. The last tenth of the window is reserved for
    urgent requests. From the second consecutive failure one request is in flight at a time, until one succeeds.
    """

    def __init__(self, limiter: RateLimiter, per_s: float, *, burst: int = 0, clock: Clock = CLOCK):
        self._limiter, self._clock = limiter, clock
        self._spare = limiter.capacity // 10
        self._unit_s = 1 / per_s
        self._burst = burst
        self._burst_s = burst * self._unit_s
        # No credit at the start: a process that is killed and restarted would otherwise spend it each time.
        self._next_at = clock.now()
        self._failures = 0
        self._refusals = 0
        self._open_until = -math.inf
        self._in_flight: deque[float] = deque()
        self._acquiring = threading.Lock()
        self._state = threading.Lock()

    @property
    def name(self) -> str:
        """The name under which processes share the rate."""
        return self._limiter.name

    def try_acquire(self, *, urgent: bool = False) -> float:
        """Take one permission without waiting and return 0.0: send the request now.

        Otherwise take nothing and return the seconds after which to try again, 0.02 to 1.0.
        """
        with self._acquiring:
            rest = self._rest_s(urgent)
            if rest < DUE_S:
                rest = self._ask_limiter(urgent)
            if rest == 0:
                self._note_taken()
                return 0.0
        return min(max(rest, SOONEST_S), LATEST_S)

    @property
    def is_failing(self) -> bool:
        """Whether the last requests failed, so that the time of the next answer is unknown."""
        return self._failures >= HALF_OPEN_AFTER

    def acquire(self, stop: Stop | None = None, *, urgent: bool = False) -> bool:
        """Wait for one permission and take it; False, with nothing taken, once `stop` returns True."""
        if stop is not None and stop():
            return False
        while rest := self.try_acquire(urgent=urgent):
            if not self._clock.wait(rest, stop):
                return False
        return True

    def succeeded(self) -> None:
        """Report that the service answered; a permanent refusal is an answer too."""
        with self._state:
            self._report()
            self._failures = self._refusals = 0
            self._open_until = -math.inf

    def unused(self) -> None:
        """Report that a permission was not used for a request."""
        with self._state:
            self._report()

    def failed(self, retry_after_s: float | None = None, *, throttled: bool = False) -> None:
        """Report a temporary failure. `retry_after_s` is from the service, `throttled` means status 429: either pauses
        every process that shares the limiter.
        """
        with self._state:
            self._report()
            self._failures += 1
            self._open_until = self._clock.now() + self._backoff_s()
            pause = self._pause_s(retry_after_s, throttled)
        if pause > 0:
            self._limiter.pause(pause)

    def _rest_s(self, urgent: bool) -> float:
        with self._state:
            now = self._clock.now()
            while self._in_flight and self._in_flight[0] <= now - UNREPORTED_S:
                self._in_flight.popleft()
            if self._failures >= HALF_OPEN_AFTER:
                probing = PROBE_POLL_S if self._in_flight else 0.0
                if rest := max(probing, self._open_until - now, 0.0):
                    return rest
            return 0.0 if urgent else self._next_at - now

    def _ask_limiter(self, urgent: bool) -> float:
        if urgent:
            return self._limiter.try_acquire()
        return self._limiter.try_acquire(spare=self._spare, pace=self._burst + 1)

    def _note_taken(self) -> None:
        with self._state:
            now = self._clock.now()
            self._in_flight.append(now)
            self._next_at = max(self._next_at, now - self._burst_s) + self._unit_s

    def _report(self) -> None:
        if self._in_flight:
            self._in_flight.popleft()

    def _backoff_s(self) -> float:
        """0 after the first failure, then 1, 2, 4 and 5 s, minus up to half at random."""
        if self._failures < HALF_OPEN_AFTER:
            return 0.0
        over = self._failures - HALF_OPEN_AFTER + 1
        return backoff_s(over, 1.0, cap_s=LONGEST_BACKOFF_S, jitter=0.5 + self._clock.chance() / 2)

    def _pause_s(self, retry_after_s: float | None, throttled: bool) -> float:
        if throttled:
            self._refusals += 1
        if retry_after_s is not None and retry_after_s > 0:
            return min(retry_after_s, LONGEST_PAUSE_S)
        return backoff_s(self._refusals, 1.0, cap_s=LONGEST_PAUSE_S) if throttled else 0.0


def circuit_for(
    name: str, per_s: float, window_s: int, redis_url: str | None = None, clock: Clock = CLOCK, *, burst: int = 0
) -> CircuitBreaker:
    """Return this process's circuit breaker of a name and rate, made on first use; `close_limiters` drops it."""
    key = (name, per_s, window_s, redis_url, clock, burst)
    limiter = limiter_for(name, per_s, window_s, redis_url, clock)
    with _lock:
        if key not in _circuits:
            _circuits[key] = CircuitBreaker(limiter, per_s, burst=burst, clock=clock)
        return _circuits[key]


at_close(_circuits.clear)
