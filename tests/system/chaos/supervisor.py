"""Runs the processes of one system, kills them, and starts again what has ended, as systemd would."""

from __future__ import annotations

import contextlib
import pathlib
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.support import servers

RESTART_S = (0.1, 2.0)
LOOK_EVERY_S = 0.1


@dataclass
class Unit:
    """One process that has to run: how it is started, and the process while it does."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0


@dataclass
class Supervisor:
    """Keeps units running until the end of its block. `kills` counts by kind what was killed."""

    units: list[Unit]
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def kill(self, name: str) -> None:
        """Kill a unit with all its children; it is started again a moment later. Nothing when it does not run."""
        with self._lock:
            unit = next(unit for unit in self.units if unit.name == name)
            if unit.process is None or unit.process.poll() is not None:
                return
            servers.kill_tree(unit.process)
            unit.process, unit.start_at = None, time.monotonic() + self.chance.uniform(*RESTART_S)
            self.kills[name.rstrip("0123456789")] += 1

    def watch(self) -> None:
        """Start what does not run, until the end."""
        try:
            while not self._over.wait(LOOK_EVERY_S):
                with self._lock:
                    for unit in self.units:
                        self._mind(unit)
        except BaseException as fault:
            self.faults.append(fault)

    def _mind(self, unit: Unit) -> None:
        if unit.process is not None and unit.process.poll() is not None:
            # It ended by itself, as PostgreSQL does while what a kill left of it still holds its memory.
            unit.process, unit.start_at = None, time.monotonic() + RESTART_S[0] * 3
        if unit.process is None and time.monotonic() >= unit.start_at:
            unit.process = unit.launch()

    @contextlib.contextmanager
    def running(self) -> Iterator[Supervisor]:
        thread = threading.Thread(target=self.watch, name="supervisor")
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
            for unit in self.units:
                if unit.process is not None:
                    servers.kill_tree(unit.process)


def unit(name: str, command: list[str], folder: pathlib.Path, environ: Mapping[str, str]) -> Unit:
    """Return a unit of this project's own; what it prints goes to a file in the folder."""

    def launch() -> subprocess.Popen[bytes]:
        with open(folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                command, cwd=servers.ROOT, env=dict(environ), stdout=log, stderr=log, start_new_session=True
            )

    return Unit(name, launch)


def store_unit(name: str, server: servers.PostgresServer | servers.RedisServer) -> Unit:
    """Return a unit for a server of others that runs already."""

    def launch() -> subprocess.Popen[bytes]:
        server.launch()
        assert server.process is not None
        return server.process

    return Unit(name, launch, server.process)
