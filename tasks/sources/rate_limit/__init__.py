"""Outgoing rate limits: `circuit.py` (market services) → `limiter.py` → `windows.py`, on the time of `clock.py`."""
