"""The id of a process, and whether the process with an id is gone."""

from __future__ import annotations

import os
import socket


def process_id() -> str:
    """Return machine/pid/start time of this process; the start time because pids are reused."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Whether the process with this id ran on this machine and is gone. False for other machines."""
    host, pid, started = holder.rsplit("/", 2)
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if there is none, or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended but was not waited for
    except OSError:
        return ""
