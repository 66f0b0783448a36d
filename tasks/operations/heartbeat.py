"""The heartbeat of a process: every 15 s a thread updates the process's row and stores its metrics.

While the database is away nothing is lost: the metrics stay counted.
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

log = logging.getLogger("walletkin.heartbeat")

PATIENCE_S = 2.0  # how long the end of a process waits for the last heartbeat

_stop = threading.Event()


def start(role: str, besides: Callable[[], None] | None = None) -> None:
    """Start the heartbeat, the first at once; it ends with the process. `role` is web, or the queue worked on.

    `besides`, a short check, is called at every heartbeat too.
    """
    _stop.clear()
    thread = threading.Thread(target=_send_forever, args=(role, besides), name="heartbeat", daemon=True)
    thread.start()
    atexit.register(_end, thread)


def send(role: str) -> None:
    """Send one heartbeat and store the metrics."""
    with database.session():
        beat(process_id(), role, version("walletkin"), executor.idle_s())
        flush_metrics()


def prune_dead() -> None:
    """Delete the killed processes of this machine; those of others show as silent until they are pruned."""
    with database.session():
        for one in processes():
            if is_gone(one.name):
                leave(one.name)


def flush_metrics() -> None:
    """Store the metrics of this process; after a database error, which is raised, they stay counted."""
    taken = metrics.drain()
    try:
        metric_store.store(taken)
    except BaseException:
        metrics.restore(taken)
        raise


def _send_forever(role: str, besides: Callable[[], None] | None) -> None:
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
        log.warning("the heartbeat could not be stored (%s); trying again", type(error).__name__)


def _leave() -> None:
    with database.session():
        flush_metrics()
        leave(process_id())


def _end(thread: threading.Thread) -> None:
    _stop.set()
    thread.join(PATIENCE_S)


KEPT_S = 3600.0  # a silent process is shown for so long
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Process:
    """A process at its last heartbeat; ages in seconds. `busy` is the number of jobs it holds."""

    name: str
    role: str
    version: str
    up_s: float
    silent_s: float
    worked_s: float | None
    busy: int

    @property
    def is_alive(self) -> bool:
        """Whether its last heartbeat is recent; one far in the future dates from before the clock was set back."""
        return abs(self.silent_s) <= timing().silent_s


def beat(process: str, role: str, version: str, idle_s: float | None) -> None:
    """Update the row of a process; `idle_s` is the time since it last held a job (None: never)."""
    now = database.now_s()
    values = {
        "role": role, "version": version, "last_seen_at": now, "worked_at": None if idle_s is None else now - idle_s
    }  # fmt: skip
    with database.write():
        if not Heartbeat.update(**values).where(Heartbeat.process == process).execute():
            Heartbeat.insert(process=process, started_at=now, **values).on_conflict_ignore().execute()


def leave(process: str) -> None:
    """Delete the row of a process that ends."""
    with database.write():
        Heartbeat.delete().where(Heartbeat.process == process).execute()


def prune() -> None:
    """Delete the processes that have been silent for an hour, and those with a heartbeat in the future."""
    gone = sql.is_past(Heartbeat.last_seen_at, timing().silent_s, ago_s=KEPT_S)
    if names := [name for (name,) in Heartbeat.select(Heartbeat.process).where(gone).tuples()]:
        with database.write():
            Heartbeat.delete().where(Heartbeat.process.in_(names), gone).execute()


def processes() -> list[Process]:
    """Return the processes, by role, then the most recent heartbeat first."""
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
