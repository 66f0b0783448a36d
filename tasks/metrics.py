"""The counters of this process; `operations/heartbeat.py` adds them to the database and empties them.

A key is a name and its labels; a label is one of a few fixed words, never an id, an address or input.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

Key = tuple[str, ...]
REQUEST_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
JOB_BOUNDS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
BEYOND = "+Inf"  # the label of what is above the last bound, as Prometheus writes it

_lock = threading.Lock()
_counted: dict[Key, float] = {}


def add(name: str, *labels: str, by: float = 1.0) -> None:
    """Add one, or `by`, to a counter."""
    with _lock:
        _put((name, *labels), by)


def observe(name: str, *labels: str, seconds: float, bounds: Sequence[float]) -> None:
    """Count a duration: one more under the first bound that it does not exceed, and its seconds under `…_sum`."""
    with _lock:
        for key, value in observed(name, *labels, seconds=seconds, bounds=bounds).items():
            _put(key, value)


def observed(name: str, *labels: str, seconds: float, bounds: Sequence[float]) -> dict[Key, float]:
    """Return what `observe` counts, without counting it."""
    under = next((repr(bound) for bound in bounds if seconds <= bound), BEYOND)
    return {(name, *labels, under): 1.0, (f"{name}_sum", *labels): max(0.0, seconds)}


def drain() -> dict[Key, float]:
    """Return the counters and reset them; empty if nothing was counted."""
    with _lock:
        taken = dict(_counted)
        _counted.clear()
    return taken


def restore(taken: Mapping[Key, float]) -> None:
    """Add back drained counters that could not be stored."""
    with _lock:
        for key, value in taken.items():
            _put(key, value)


def _put(key: Key, value: float) -> None:
    _counted[key] = _counted.get(key, 0.0) + value
