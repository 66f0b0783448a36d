"""Hostile input by the thousand: `strategies` makes it, `targets` says who gets it, `python -m tests.system.fuzz` counts."""
