"""Who holds a job: the name of a process, and whether the process that a name means is gone. Knows nothing of jobs."""

from __future__ import annotations

import os
import socket


def process_id() -> str:
    """Name this process: machine, process id, and start time (process ids are used again)."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Whether the process that a holder names ran on this machine and is gone. False when that cannot be known."""
    host, pid, started = holder.rsplit("/", 2)
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty when there is none (or no /proc to ask)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended, only nobody has asked yet
    except OSError:
        return ""
