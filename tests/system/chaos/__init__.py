"""Kills at random what runs, again and again, while clients use it, and looks afterwards whether anything was lost.

`python -m tests.system.chaos` does it for ten minutes on each of the two ways to run; the suite for two.
"""
