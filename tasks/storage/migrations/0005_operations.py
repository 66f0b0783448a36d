"""Room for the heartbeats and counters of all processes, and an index by which ended jobs are counted and expire."""

from typing import Any

from peewee import CompositeKey, DoubleField, Model, TextField


class Heartbeat(Model):
    process = TextField(primary_key=True)
    role = TextField()
    version = TextField()
    started_at = DoubleField()
    beaten_at = DoubleField()
    worked_at = DoubleField(null=True)

    class Meta:
        table_name = "heartbeat"


class Counter(Model):
    name = TextField()
    labels = TextField()
    value = DoubleField(default=0.0)

    class Meta:
        table_name = "counter"
        primary_key = CompositeKey("name", "labels")


TABLES = (Heartbeat, Counter)


def up(migrator: Any, db: Any) -> None:
    db.bind(TABLES)
    db.create_tables(TABLES)
    migrator.migrate(migrator.add_index("job", ("finished_at",), False))
