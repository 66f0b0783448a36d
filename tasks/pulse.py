"""The pulse of a process: every 15 s it says in the database that it lives, and writes down what it has counted.

One thread for each process, beside the work and never in its way. When the database is away, nothing is lost but time.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from importlib.metadata import version

from tasks import counts
from tasks.holders import is_dead, this_process
from tasks.records import counters, database, heartbeats

log = logging.getLogger("walletkin.pulse")

PATIENCE_S = 2.0  # how long the end of a process waits for its last words

_stop = threading.Event()
_last_work: float | None = None


def worked() -> None:
    """Remember that this process has a job in hand, or had one until now."""
    global _last_work
    _last_work = time.monotonic()


def start(role: str, besides: Callable[[], None] | None = None) -> None:
    """Begin to beat, the first time at once; it ends with the process. `role` is web, or the queue worked on.

    `besides` is called at every beat too: a short look after something.
    """
    _stop.clear()
    thread = threading.Thread(target=_beat_for_ever, args=(role, besides), name="pulse", daemon=True)
    thread.start()
    atexit.register(_end, thread)


def beat(role: str) -> None:
    """Say once that this process lives, and write down what it has counted."""
    idle_s = None if _last_work is None else time.monotonic() - _last_work
    with database.session():
        heartbeats.beat(this_process(), role, version("walletkin"), idle_s)
        write_down()


def forget_the_dead() -> None:
    """Forget the processes of this machine that were killed; those of others show as silent until they are pruned."""
    with database.session():
        for one in heartbeats.processes():
            if is_dead(one.name):
                heartbeats.leave(one.name)


def write_down() -> None:
    """Write down what this process has counted; what cannot be written stays counted. Raises what the database does."""
    taken = counts.take()
    try:
        counters.store(taken)
    except BaseException:
        counts.put_back(taken)
        raise


def _beat_for_ever(role: str, besides: Callable[[], None] | None) -> None:
    while True:
        _quietly(lambda: beat(role))
        if besides is not None:
            _quietly(besides)
        if _stop.wait(heartbeats.BEAT_EVERY_S):
            break
    _quietly(_leave)


def _quietly(say: Callable[[], None]) -> None:
    try:
        say()
    except Exception as error:
        log.warning("the database did not take the pulse (%s); trying again", type(error).__name__)


def _leave() -> None:
    with database.session():
        write_down()
        heartbeats.leave(this_process())


def _end(thread: threading.Thread) -> None:
    _stop.set()
    thread.join(PATIENCE_S)
