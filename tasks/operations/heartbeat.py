"""The pulse of a process: every 15 s it says in the database that it lives, and writes down what it has counted.

One thread for each process, beside the work and never in its way. When the database is away, nothing is lost but time.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from peewee import fn

from tasks import metrics
from tasks.jobs import executor
from tasks.jobs.process import is_gone, process_id
from tasks.operations import metric_store
from tasks.settings import timing
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job
from tasks.storage.models.operations import Heartbeat

log = logging.getLogger("walletkin.pulse")

PATIENCE_S = 2.0  # how long the end of a process waits for its last words

_stop = threading.Event()


def start(role: str, besides: Callable[[], None] | None = None) -> None:
    """Begin to beat, the first time at once; it ends with the process. `role` is web, or the queue worked on.

    `besides` is called at every beat too: a short look after something.
    """
    _stop.clear()
    thread = threading.Thread(target=_send_for_ever, args=(role, besides), name="pulse", daemon=True)
    thread.start()
    atexit.register(_end, thread)


def send(role: str) -> None:
    """Say once that this process lives, and write down what it has counted."""
    with database.session():
        beat(process_id(), role, version("walletkin"), executor.idle_s())
        flush_metrics()


def prune_dead() -> None:
    """Forget the processes of this machine that were killed; those of others show as silent until they are pruned."""
    with database.session():
        for one in processes():
            if is_gone(one.name):
                leave(one.name)


def flush_metrics() -> None:
    """Write down what this process has counted; what cannot be written stays counted. Raises what the database does."""
    taken = metrics.drain()
    try:
        metric_store.store(taken)
    except BaseException:
        metrics.restore(taken)
        raise


def _send_for_ever(role: str, besides: Callable[[], None] | None) -> None:
    while True:
        _quietly(lambda: send(role))
        if besides is not None:
            _quietly(besides)
        if _stop.wait(timing().heartbeat_every_s):
            break
    _quietly(_leave)


def _quietly(say: Callable[[], None]) -> None:
    try:
        say()
    except Exception as error:
        log.warning("the database did not take the pulse (%s); trying again", type(error).__name__)


def _leave() -> None:
    with database.session():
        flush_metrics()
        leave(process_id())


def _end(thread: threading.Thread) -> None:
    _stop.set()
    thread.join(PATIENCE_S)


KEPT_S = 3600.0  # shown as silent for so long
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Process:
    """A process as last heard of; all ages in seconds. `busy` is how many jobs it holds."""

    name: str
    role: str
    version: str
    up_s: float
    silent_s: float
    worked_s: float | None
    busy: int

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of lately; one from the future was heard of before the clock was set back."""
        return abs(self.silent_s) <= timing().silent_s


def beat(process: str, role: str, version: str, idle_s: float | None) -> None:
    """Say that a process lives, and for how long it has had no job in hand (None: it never had one)."""
    now = database.now_s()
    values = {
        "role": role, "version": version, "last_seen_at": now, "worked_at": None if idle_s is None else now - idle_s
    }  # fmt: skip
    with database.write():
        if not Heartbeat.update(**values).where(Heartbeat.process == process).execute():
            Heartbeat.insert(process=process, started_at=now, **values).on_conflict_ignore().execute()


def leave(process: str) -> None:
    """Forget a process that ends."""
    with database.write():
        Heartbeat.delete().where(Heartbeat.process == process).execute()


def prune() -> None:
    """Forget the processes that have been silent for an hour, and those heard of in the future."""
    gone = sql.is_past(Heartbeat.last_seen_at, timing().silent_s, ago_s=KEPT_S)
    if names := [name for (name,) in Heartbeat.select(Heartbeat.process).where(gone).tuples()]:
        with database.write():
            Heartbeat.delete().where(Heartbeat.process.in_(names), gone).execute()


def processes() -> list[Process]:
    """Return the processes heard of within an hour: by role, then those heard of last."""
    now = database.now_s()
    held = dict(
        Job.select(Job.holder, fn.COUNT(Job.id))
        .where(Job.state == "running", Job.holder.is_null(False), Job.lease_until >= now)
        .group_by(Job.holder)
        .tuples()
    )
    rows = Heartbeat.select().order_by(Heartbeat.role, Heartbeat.last_seen_at.desc()).limit(AT_ONCE)
    return [
        Process(
            name=row.process,
            role=row.role,
            version=row.version,
            up_s=now - row.started_at,
            silent_s=now - row.last_seen_at,
            worked_s=None if row.worked_at is None else now - row.worked_at,
            busy=held.get(row.process, 0),
        )
        for row in rows
    ]
