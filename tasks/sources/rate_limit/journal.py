"""Remembers on disk what was taken of a rate lately, so that a process that starts again does not begin with a full
window. Counts nothing itself: that is `windows.py`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

NOTES_BEFORE_TIDYING = 5_000
CLOCK_SLACK_S = 1.0


class UsageJournal:
    """Notes of the last `window_s` seconds in one file, which the processes of a machine may share.

    A diary that cannot be written or read is done without, and says so once.
    """

    def __init__(self, path: pathlib.Path, window_s: float, now: Callable[[], float] = time.time):
        self._path, self._window_s, self._now = path, window_s, now
        self._notes = 0
        self._failed = False

    def note(self, units: int) -> None:
        """Write down that so many units were taken now."""
        with self._quietly():
            with open(self._path, "a", encoding="ascii") as file:
                file.write(f"{self._now():.3f} {units}\n")
            self._notes += 1
            if self._notes >= NOTES_BEFORE_TIDYING:
                self._tidy()

    def recent(self) -> list[tuple[float, int]]:
        """Return (seconds ago, units) of what lies inside the window, the oldest first, and forget the rest.

        What is dated ahead is from before the clock was set back, and counts as taken now.
        """
        found: list[tuple[float, int]] = []
        with self._quietly():
            if self._path.exists():
                found = self._read()
                self._tidy()
        return found

    def _read(self) -> list[tuple[float, int]]:
        now, found = self._now(), []
        for line in self._path.read_text(encoding="ascii", errors="replace").splitlines():
            at, _, units = line.partition(" ")
            with contextlib.suppress(ValueError):
                ago = now - float(at)
                if ago <= self._window_s:
                    found.append((max(0.0, ago) if ago >= -CLOCK_SLACK_S else 0.0, int(units)))
        return sorted(found, reverse=True)

    def _tidy(self) -> None:
        """Rewrite the file with what is recent; a note made by another process meanwhile may be lost."""
        now = self._now()
        made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        made.write_text("".join(f"{now - ago:.3f} {units}\n" for ago, units in self._read()), encoding="ascii")
        os.replace(made, self._path)
        self._notes = 0

    @contextlib.contextmanager
    def _quietly(self):  # type: ignore[no-untyped-def]  # a context manager's own type says less than it hides
        try:
            yield
        except OSError as error:
            if not self._failed:
                log.warning("what was taken of a rate cannot be remembered in %s: %s", self._path, error.strerror)
            self._failed = True
