"""The base class of the tables, and the database proxy that `database.open_database` binds.

References are plain integers instead of foreign keys: rows are inserted by the hundred thousand and deleted by result.
"""

from __future__ import annotations

from peewee import DatabaseProxy, Model

db = DatabaseProxy()


class BaseModel(Model):
    class Meta:
        database = db
        legacy_table_names = False
