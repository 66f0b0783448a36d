"""The tables of what an operator watches. Holds no queries; `models.py` names these beside all the others."""

from __future__ import annotations

from peewee import (
    CompositeKey,
    DoubleField,
    IntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class RpcCapabilities(BaseModel):
    """What was learnt of an RPC endpoint, by the hash of its address (which may hold a key)."""

    endpoint = TextField(primary_key=True)
    traits = TextField()
    learnt_at = DoubleField()


class SigningKey(BaseModel):
    """The key that signs cookies, for all machines on one PostgreSQL; on SQLite there is none, but a file."""

    id = IntegerField(primary_key=True)
    secret = TextField()


class Heartbeat(BaseModel):
    """A process that works for this database, by the database's clock; its row goes when it ends or falls silent.

    `role` is web, or the queue that it works on; `worked_at` when it last had a job in hand.
    """

    process = TextField(primary_key=True)
    role = TextField()
    version = TextField()
    started_at = DoubleField()
    last_seen_at = DoubleField()
    worked_at = DoubleField(null=True)


class Counter(BaseModel):
    """A number that only grows, of all processes together; `labels` is a JSON list of words."""

    name = TextField()
    labels = TextField()
    value = DoubleField(default=0.0)

    class Meta:
        primary_key = CompositeKey("name", "labels")
