"""Priorities: higher tiers first, then the newest request."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_last_ms = 0


def priorities(tier: int, count: int) -> list[int]:
    """Return `count` priorities for a request made now, descending. No two calls in a process return the same one.

    A requeued job keeps its priority, so that the first parts of a request finish before the last begin.
    """
    global _last_ms
    with _lock:
        first = max(int(time.time() * 1000), _last_ms + 1)
        _last_ms = first + count - 1
    return [tier * TIER_STEP + first + place for place in reversed(range(count))]


def priority(tier: int) -> int:
    """Return one priority for a request made now."""
    return priorities(tier, 1)[0]


USER, ANALYSIS, BACKGROUND = 3, 2, 1
TIERS = {"user": USER, "analysis": ANALYSIS, "background": BACKGROUND}
TIER_STEP = 10**13
"""A priority is its tier times this, plus the milliseconds of the request."""

INTERACTIVE = USER * TIER_STEP
"""From this priority on the result is on a user's screen."""
OFF_SCREEN_OFFSET = 3 * TIER_STEP // 10
"""Subtracted for what a user requested but does not see: below `INTERACTIVE`, above every analysis."""
ASKED_BY_USER = INTERACTIVE - OFF_SCREEN_OFFSET


def floor_of(priority: int) -> int:
    """Return the lowest priority of the tier that a priority is in."""
    return priority - priority % TIER_STEP
