"""Finds the busiest stretch in a row of moments as they come; keeps no moment that is older than one stretch."""

from __future__ import annotations

from collections import deque


class Busiest:
    """The most moments that any stretch of `length_s` held, whichever moment it began at. Not thread-safe."""

    def __init__(self, length_s: float):
        self.most = 0
        self._length_s = length_s
        self._moments: deque[float] = deque()

    def add(self, at_s: float) -> None:
        """Take in the next moment; moments come in order."""
        while self._moments and self._moments[0] <= at_s - self._length_s:
            self._moments.popleft()
        self._moments.append(at_s)
        self.most = max(self.most, len(self._moments))
