"""Room for the key that signs cookies, which all machines on one PostgreSQL share; on SQLite it stays in a file."""

from typing import Any

from peewee import IntegerField, Model, TextField


def up(migrator: Any, db: Any) -> None:
    class Signing(Model):
        id = IntegerField(primary_key=True)
        secret = TextField()

        class Meta:
            database = db
            table_name = "signing"

    db.create_tables([Signing])
