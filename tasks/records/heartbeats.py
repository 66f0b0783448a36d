"""The heartbeats of processes: who works for this database, and since when one has not been heard of."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import fn

from tasks.records import database
from tasks.records.models import Heartbeat, Job

BEAT_EVERY_S = 15.0
SILENT_S = 45.0  # three beats missed: it is gone, or as good as gone
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
        return abs(self.silent_s) <= SILENT_S


def beat(process: str, role: str, version: str, idle_s: float | None) -> None:
    """Say that a process lives, and for how long it has had no job in hand (None: it never had one)."""
    now = database.now_s()
    values = {
        "role": role, "version": version, "beaten_at": now, "worked_at": None if idle_s is None else now - idle_s
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
    now = database.now_s()
    gone = (Heartbeat.beaten_at < now - KEPT_S) | (Heartbeat.beaten_at > now + SILENT_S)
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
    rows = Heartbeat.select().order_by(Heartbeat.role, Heartbeat.beaten_at.desc()).limit(AT_ONCE)
    return [
        Process(
            name=row.process,
            role=row.role,
            version=row.version,
            up_s=now - row.started_at,
            silent_s=now - row.beaten_at,
            worked_s=None if row.worked_at is None else now - row.worked_at,
            busy=held.get(row.process, 0),
        )
        for row in rows
    ]
