"""Hostile input: `strategies` makes it, `targets` names who reads it, `python -m tests.system.fuzz` counts."""
