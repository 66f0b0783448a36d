"""Tables of operations: RPC capabilities, the signing key, heartbeats, counters."""

from __future__ import annotations

from peewee import (
    CompositeKey,
    DoubleField,
    IntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class RpcCapabilities(BaseModel):
    """The capabilities of an RPC endpoint, by the hash of its URL, which may hold a key."""

    endpoint = TextField(primary_key=True)
    traits = TextField()
    learnt_at = DoubleField()


class SigningKey(BaseModel):
    """The key that signs cookies, shared by all machines on one PostgreSQL; with SQLite it is a file."""

    id = IntegerField(primary_key=True)
    secret = TextField()


class Heartbeat(BaseModel):
    """The heartbeat of a process, by the database's clock; deleted when the process ends or falls silent.

    `role` is web or the queue of a worker; `worked_at` when it last ran a job.
    """

    process = TextField(primary_key=True)
    role = TextField()
    version = TextField()
    started_at = DoubleField()
    last_seen_at = DoubleField()
    worked_at = DoubleField(null=True)


class Counter(BaseModel):
    """A counter summed over all processes; `labels` is a JSON list of words."""

    name = TextField()
    labels = TextField()
    value = DoubleField(default=0.0)

    class Meta:
        primary_key = CompositeKey("name", "labels")
