"""What this process has counted since it last wrote that down (`tasks/operations/heartbeat.py`). Knows no database and no service.

A key is a name and its labels; a label is one of few words of ours, never an id, an address or what somebody sent.
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
    """Count one more, or `by`, of what a name and its labels say."""
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
    """Return all that was counted since the last time, and begin anew; empty when nothing was."""
    with _lock:
        taken = dict(_counted)
        _counted.clear()
    return taken


def restore(taken: Mapping[Key, float]) -> None:
    """Count again what was taken and could not be written down."""
    with _lock:
        for key, value in taken.items():
            _put(key, value)


def _put(key: Key, value: float) -> None:
    _counted[key] = _counted.get(key, 0.0) + value
