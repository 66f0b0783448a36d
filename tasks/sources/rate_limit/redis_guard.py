"""Does without a Redis that fails and tries it again later: one guard for every use of Redis but the queues."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class RedisGuard:
    """Calls Redis unless it is away. Thread-safe.

    After an error of one of the types `errors` nothing is sent for `away_s` seconds; then one caller tries, and the
    others go without it meanwhile. `without` and `again` complete the log lines "Redis is away" and "Redis is back".
    """

    def __init__(
        self,
        log: logging.Logger,
        errors: type[Exception],
        *,
        away_s: float,
        without: str,
        again: str,
        now: Callable[[], float] = time.monotonic,
    ):
        self._log, self._errors, self._away_s, self._now = log, errors, away_s, now
        self._without, self._again = without, again
        self._lock = threading.Lock()
        self._again_at: float | None = None  # None: Redis answered the last time

    def call(self, question: Callable[[], T]) -> T | None:
        """Return what `question` returns; None while Redis is away."""
        if not self._may_try():
            return None
        try:
            answer = question()
        except self._errors as error:
            self._lose(error)
            return None
        if self._again_at is not None:
            self._again_at = None
            self._log.info("Redis is back: %s", self._again)
        return answer

    def _may_try(self) -> bool:
        with self._lock:
            if self._again_at is None:
                return True
            if self._now() < self._again_at:
                return False
            self._again_at = self._now() + self._away_s
            return True

    def _lose(self, error: Exception) -> None:
        with self._lock:
            is_first, self._again_at = self._again_at is None, self._now() + self._away_s
        if is_first:
            reason = type(getattr(error, "storage_error", error)).__name__  # the library `limits` wraps Redis's errors
            self._log.warning("Redis is away (%s): %s", reason, self._without)
