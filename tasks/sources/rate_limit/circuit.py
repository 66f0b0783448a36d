"""Permission to send one request to one market service: at its rate, the urgent ones first, and less of it while the
service fails. Sends nothing; the counting is done by `limits.py`.
"""

from __future__ import annotations

import math
import threading
from collections import deque

from tasks.sources.rate_limit.clock import CLOCK, Clock, Stop
from tasks.sources.rate_limit.limiter import RateLimiter, at_close, limiter_for

SOONEST_S, LATEST_S = 0.02, 1.0
DUE_S = 1e-3  # what is due within a millisecond is due
PROBE_POLL_S = 0.1
UNREPORTED_S = 30.0
LONGEST_BACKOFF_S = 5.0
LONGEST_PAUSE_S = 30.0
HALF_OPEN_AFTER = 2  # consecutive failures

_gates: dict[tuple[object, ...], CircuitBreaker] = {}
_lock = threading.Lock()


class CircuitBreaker:
    """Who may send a request now. Threads may share it.

    A permission is followed by one request at most and exactly one report: `succeeded`, `failed` or `unused`. `burst`
    requests that were not sent when the pace allowed it may follow at once; what is left of the window below a tenth is
    for urgent ones. From the second failure in a row on, one request is out at a time until one succeeds.
    """

    def __init__(self, limiter: RateLimiter, per_s: float, *, burst: int = 0, clock: Clock = CLOCK):
        self._limiter, self._clock = limiter, clock
        self._spare = limiter.capacity // 10
        self._unit_s = 1 / per_s
        self._burst = burst
        self._burst_s = burst * self._unit_s
        # No credit at the start: a process that is killed and started again would spend it each time.
        self._next_at = clock.now()
        self._failures = 0
        self._refusals = 0
        self._closed_until = -math.inf
        self._out: deque[float] = deque()
        self._turn = threading.Lock()
        self._state = threading.Lock()

    def take(self, *, urgent: bool = False) -> float:
        """Take one permission without waiting: 0.0, and the request is to be sent now.

        Else nothing was taken, and asking again is worth it after so many seconds (0.02 to 1.0).
        """
        with self._turn:
            rest = self._rest_s(urgent)
            if rest < DUE_S:
                rest = self._ask_limiter(urgent)
            if rest == 0:
                self._note_taken()
                return 0.0
        return min(max(rest, SOONEST_S), LATEST_S)

    @property
    def is_failing(self) -> bool:
        """Whether the last requests failed, so that nobody knows when the next answer comes."""
        return self._failures >= HALF_OPEN_AFTER

    def wait(self, stop: Stop | None = None, *, urgent: bool = False) -> bool:
        """Wait for one permission and take it; False, with nothing taken, once `stop` says so."""
        if stop is not None and stop():
            return False
        while rest := self.take(urgent=urgent):
            if not self._clock.wait(rest, stop):
                return False
        return True

    def succeeded(self) -> None:
        """Report that the service answered, be it with a refusal for good."""
        with self._state:
            self._report()
            self._failures = self._refusals = 0
            self._closed_until = -math.inf

    def unused(self) -> None:
        """Report that no request came of a permission after all."""
        with self._state:
            self._report()

    def failed(self, retry_after_s: float | None = None, *, throttled: bool = False) -> None:
        """Report a failure for a time. `retry_after_s` is what the service asked for, `throttled` that it said 429:
        either pauses everybody who shares the limiter.
        """
        with self._state:
            self._report()
            self._failures += 1
            self._closed_until = self._clock.now() + self._backoff_s()
            pause = self._pause_s(retry_after_s, throttled)
        if pause > 0:
            self._limiter.pause(pause)

    def _rest_s(self, urgent: bool) -> float:
        with self._state:
            now = self._clock.now()
            while self._out and self._out[0] <= now - UNREPORTED_S:
                self._out.popleft()
            if self._failures >= HALF_OPEN_AFTER:
                probing = PROBE_POLL_S if self._out else 0.0
                if rest := max(probing, self._closed_until - now, 0.0):
                    return rest
            return 0.0 if urgent else self._next_at - now

    def _ask_limiter(self, urgent: bool) -> float:
        if urgent:
            return self._limiter.try_acquire()
        return self._limiter.try_acquire(spare=self._spare, pace=self._burst + 1)

    def _note_taken(self) -> None:
        with self._state:
            now = self._clock.now()
            self._out.append(now)
            self._next_at = max(self._next_at, now - self._burst_s) + self._unit_s

    def _report(self) -> None:
        if self._out:
            self._out.popleft()

    def _backoff_s(self) -> float:
        """None after the first failure, then 1, 2, 4 and 5 s, of which chance takes up to a half."""
        if self._failures < HALF_OPEN_AFTER:
            return 0.0
        whole = min(2.0 ** min(self._failures - HALF_OPEN_AFTER, 10), LONGEST_BACKOFF_S)
        return whole * (0.5 + self._clock.chance() / 2)

    def _pause_s(self, retry_after_s: float | None, throttled: bool) -> float:
        if throttled:
            self._refusals += 1
        if retry_after_s is not None and retry_after_s > 0:
            return min(retry_after_s, LONGEST_PAUSE_S)
        return min(2.0 ** min(self._refusals - 1, 10), LONGEST_PAUSE_S) if throttled else 0.0


def gate_for(
    name: str, per_s: float, window_s: int, redis_url: str | None = None, clock: Clock = CLOCK, *, burst: int = 0
) -> CircuitBreaker:
    """Return the process's one gate of this name and rate, making it for the first that asks.

    `close_limiters` closes and forgets it.
    """
    key = (name, per_s, window_s, redis_url, clock, burst)
    limiter = limiter_for(name, per_s, window_s, redis_url, clock)
    with _lock:
        if key not in _gates:
            _gates[key] = CircuitBreaker(limiter, per_s, burst=burst, clock=clock)
        return _gates[key]


at_close(_gates.clear)
