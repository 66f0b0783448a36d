"""Waits that the caller can stop, on a clock that tests can replace."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.errors import SourceError

SLICE_S = 0.5


def backoff_s(
    failures: int, base_s: float, *, factor: float = 2.0, cap_s: float = math.inf, jitter: float = 1.0
) -> float:
    """Return the exponential wait after `failures` (1 or more) failed tries in a row: base_s, base_s * factor, ….

    At most `cap_s`, then multiplied by `jitter`, the caller's random number.
    """
    return min(cap_s, base_s * factor ** min(failures - 1, 10)) * jitter


Stop = Callable[[], bool]


class Stopped(SourceError):
    """`stop` returned True before an answer arrived. Not the service's fault, and not a failed attempt."""

    def __init__(self, source: str):
        super().__init__(source, "stopped before it was done", permanent=False, retry_after_s=0.0)


@dataclass(frozen=True)
class Clock:
    """Time for waits: seconds from an arbitrary origin, never going back. `chance` is in [0, 1).

    `started_at`: when the process started, on the same scale.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    started_at: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float, stop: Stop | None = None) -> bool:
        """Sleep in slices of at most half a second; False as soon as `stop` returns True, otherwise True at the end."""
        until = self.now() + seconds
        while not (stop is not None and stop()):
            rest = until - self.now()
            if rest <= 0:
                return True
            self.sleep(min(rest, SLICE_S))
        return False


CLOCK = Clock()
