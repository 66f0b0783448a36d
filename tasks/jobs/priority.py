"""The tiers of background work, as numbers. How a place within a tier is computed is known to `queues.py` alone."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_last_ms = 0


def priorities(tier: int, count: int) -> list[int]:
    """Return a priority for each part of a request made now, the first part first: higher tiers, then the newest.

    No two calls in one process give the same number within a tier. What is handed back keeps its number, so that the
    first part is done before the last one begins.
    """
    global _last_ms
    with _lock:
        first = max(int(time.time() * 1000), _last_ms + 1)
        _last_ms = first + count - 1
    return [tier * TIER_STEP + first + place for place in reversed(range(count))]


def priority(tier: int) -> int:
    """Return the priority of a request of one part made now."""
    return priorities(tier, 1)[0]


USER, ANALYSIS, BACKGROUND = 3, 2, 1
TIERS = {"user": USER, "analysis": ANALYSIS, "background": BACKGROUND}
TIER_STEP = 10**13
"""A priority is a tier times this, and then the milliseconds of the request."""

INTERACTIVE = USER * TIER_STEP
"""From this priority on somebody looks at what is asked for."""
OFF_SCREEN_OFFSET = 3 * TIER_STEP // 10
"""So much lower stands what a user asked for too but does not look at: below `AT_ONCE`, above every analysis."""
ASKED_BY_USER = INTERACTIVE - OFF_SCREEN_OFFSET


def floor_of(priority: int) -> int:
    """Return the lowest priority of the tier that a priority is in."""
    return priority - priority % TIER_STEP
