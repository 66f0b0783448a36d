"""Many browsers at once on the real processes; `python -m tests.load` prints what they waited for."""
