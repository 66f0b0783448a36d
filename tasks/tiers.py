"""The tiers of background work, as numbers. How a place within a tier is computed is known to `queues.py` alone."""

from __future__ import annotations

USER, ANALYSIS, BACKGROUND = 3, 2, 1
TIERS = {"user": USER, "analysis": ANALYSIS, "background": BACKGROUND}
TIER_STEP = 10**13
"""A priority is a tier times this, and then the milliseconds of the request."""

AT_ONCE = USER * TIER_STEP
"""From this priority on somebody looks at what is asked for."""
LATER = 3 * TIER_STEP // 10
"""So much lower stands what a user asked for too but does not look at: below `AT_ONCE`, above every analysis."""
ASKED_BY_USER = AT_ONCE - LATER


def floor_of(priority: int) -> int:
    """Return the lowest priority of the tier that a priority is in."""
    return priority - priority % TIER_STEP
