"""Waits that can be called off, on a clock that tests may replace. Knows nothing of services or of limits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.errors import SourceError

SLICE_S = 0.5

Stop = Callable[[], bool]


class Stopped(SourceError):
    """The caller's `stop` said so before an answer was there. Not the service's fault, and no attempt lost."""

    def __init__(self, source: str):
        super().__init__(source, "stopped before it was done", permanent=False, retry_after_s=0.0)


@dataclass(frozen=True)
class Clock:
    """The time that waits are measured on: seconds from any start, never going back; `chance` is in [0, 1)."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def wait(self, seconds: float, stop: Stop | None = None) -> bool:
        """Sleep in slices of at most half a second; False as soon as `stop` says so, True when the time is over."""
        until = self.now() + seconds
        while not (stop is not None and stop()):
            rest = until - self.now()
            if rest <= 0:
                return True
            self.sleep(min(rest, SLICE_S))
        return False


CLOCK = Clock()
