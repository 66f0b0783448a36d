"""Copies an embedded database into an empty one on PostgreSQL, and compares every row."""

from __future__ import annotations

import hashlib
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
from peewee import AutoField, BooleanField, CompositeKey

from tasks.errors import SettingsError, WalletkinError
from tasks.settings import Settings
from tasks.storage import database, signing_key, sql
from tasks.storage.models import MODELS
from tasks.storage.models.operations import SigningKey

ROWS_AT_ONCE = 5_000
CHANGED = "Something wrote to {} meanwhile; stop every Walletkin process that uses it, and copy again."


class CopyFailed(WalletkinError):
    """The copy was not made, and the target is as empty as before; the text says why."""


def copy_data(source: pathlib.Path, settings: Settings, tell: Callable[[str, int], None]) -> None:
    """Copy all rows of a SQLite file to the PostgreSQL database that the settings name, which must be empty.

    All or nothing: one transaction of the target, committed only after every row was read back and compared. `tell` is
    called with the name of each table and its number of rows. Raises SettingsError or CopyFailed with the reason.
    """
    if settings.database_url.startswith("sqlite"):
        raise SettingsError("WALLETKIN_DATABASE_URL must name the PostgreSQL database to copy to.")
    database.open_database(settings)
    database.migrate()
    watcher = _open(source)
    file = _open(source)
    try:
        before = _changes(watcher)
        file.execute("BEGIN")  # what is read from here on is of one moment
        _check_version(file, source)
        with psycopg.connect(settings.database_url, **database.connection_timeouts(settings.database_url)) as target:
            for model in MODELS:
                tell(model._meta.table_name, _copy_table(file, target, model, source))
            if _changes(watcher) != before:
                raise CopyFailed(CHANGED.format(source))
    except (psycopg.Error, sqlite3.Error) as error:
        raise CopyFailed(f"The copy was not made: {(str(error).splitlines() or [''])[0].rstrip('.:')}.") from None
    finally:
        file.close()
        watcher.close()


def _open(source: pathlib.Path) -> sqlite3.Connection:
    """Open the file for reading; a new one made by mistake would look like a success."""
    try:
        return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise CopyFailed(f"The SQLite file {source} cannot be opened: {error}.") from None


def _changes(file: sqlite3.Connection) -> Any:
    """Return a number that changes with every commit of another connection."""
    return file.execute("PRAGMA data_version").fetchone()[0]


def _check_version(file: sqlite3.Connection, source: pathlib.Path) -> None:
    """Refuse a file of another version: its columns are not the ones copied."""
    try:
        theirs = {name for (name,) in file.execute("SELECT name FROM schema_migration")}
    except sqlite3.Error as error:
        raise CopyFailed(f"The file {source} is not a database of Walletkin: {error}.") from None
    ours = {name for (name,) in sql.rows("SELECT name FROM schema_migration")}
    if theirs != ours:
        raise CopyFailed(f"The file {source} is of another version; run `walletkin migrate` on it first.")


def _copy_table(file: sqlite3.Connection, target: psycopg.Connection[Any], model: Any, source: pathlib.Path) -> int:
    """Copy the rows of one table, set its sequence, and compare what is there now; return how many there are."""
    table, names = model._meta.table_name, sql.columns(model._meta.sorted_fields)
    # Locked until the end, so that a worker started too early cannot write.
    target.execute(f'LOCK TABLE "{table}" IN ACCESS EXCLUSIVE MODE')
    _check_empty(target, table)
    with target.cursor() as cursor, cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
        for row in _kept(file, model, source):
            copy.write_row(row)
    _set_sequence(target, model)
    count, digest = _digest(model, _kept(file, model, source))
    with target.cursor(name=f"check_{table}") as reading:
        reading.itersize = ROWS_AT_ONCE
        reading.execute(f'SELECT {names} FROM "{table}" ORDER BY {_key(model, collate=True)}')
        there, copied = _digest(model, reading)
    if (count, digest) != (there, copied):
        raise CopyFailed(f"The table {table} has {there} rows that are not the same as the {count} copied.")
    return count


def _check_empty(target: psycopg.Connection[Any], table: str) -> None:
    if target.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone():
        raise CopyFailed(f"The database at WALLETKIN_DATABASE_URL is not empty (table {table}); copy into a new one.")


def _kept(file: sqlite3.Connection, model: Any, source: pathlib.Path) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table in the order of its key; what signs cookies lies beside the file instead of in it."""
    if model is SigningKey:
        yield from signing_key.rows_beside(source)
        return
    names = sql.columns(model._meta.sorted_fields)
    yield from file.execute(f'SELECT {names} FROM "{model._meta.table_name}" ORDER BY {_key(model, collate=False)}')


def _key(model: Any, *, collate: bool) -> str:
    """Write out what orders the rows; PostgreSQL must order text by its bytes, as SQLite does."""
    key = model._meta.primary_key
    fields = [model._meta.fields[name] for name in key.field_names] if isinstance(key, CompositeKey) else [key]
    # Only text can be collated, and only keys of text are declared so.
    mark = ' COLLATE "C"' if collate else ""
    return ", ".join(f'"{f.column_name}"{mark if f.field_type == "TEXT" else ""}' for f in fields)


def _set_sequence(target: psycopg.Connection[Any], model: Any) -> None:
    """Let numbers given from now on follow those that are taken."""
    key = model._meta.primary_key
    if isinstance(key, AutoField):
        column = key.column_name
        target.execute(
            "SELECT setval(pg_get_serial_sequence(%s, %s), greatest(max_id, 1), max_id > 0) "
            f'FROM (SELECT coalesce(max("{column}"), 0) AS max_id FROM "{model._meta.table_name}") AS numbers',
            (f'"{model._meta.table_name}"', column),
        )


def _digest(model: Any, rows: Iterable[tuple[Any, ...]]) -> tuple[int, str]:
    """Return how many rows there are and a hash over all that they hold, whichever database they come from."""
    flags = [place for place, field in enumerate(model._meta.sorted_fields) if isinstance(field, BooleanField)]
    total, count = hashlib.sha256(), 0
    for row in rows:
        values = list(row)
        for place in flags:
            values[place] = None if values[place] is None else bool(values[place])
        total.update(repr(values).encode("utf-8", "surrogatepass"))
        count += 1
    return count, total.hexdigest()
