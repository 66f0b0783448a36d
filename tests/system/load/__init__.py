"""Many browsers at once on the real processes; `python -m tests.system.load` prints what they waited for."""
