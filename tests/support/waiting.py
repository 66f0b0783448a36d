"""How tests wait for something to happen."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 180.0
"""A guard against a hang, never a measure: a busy machine may take long."""


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until a condition holds. `what` names it in the error after HANG_S."""
    end = time.monotonic() + HANG_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {HANG_S:.0f} s for {what}")
        time.sleep(0.05)
