"""Bulk writes in short transactions, plain queries and row locks, for any table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from peewee import SQL, chunked

from tasks.storage import database
from tasks.storage.models.base import db


def columns(fields: Iterable[Any]) -> str:
    """Return the columns of some fields as SQL, for `rows`."""
    return ", ".join(f'"{field.column_name}"' for field in fields)


def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a query in SQL, `?` for each value.

    For hot pages: peewee takes several times as long to build such a query as the database to answer it.
    """
    found: list[tuple[Any, ...]] = db.execute_sql(
        sql if database.is_sqlite() else sql.replace("?", "%s"), values
    ).fetchall()
    return found


def sql_in(numbers: Iterable[int]) -> SQL:
    """Return integers as the right side of `IN`, which matches nothing without any; parameters would cost more."""
    return SQL(f"({', '.join(str(int(number)) for number in numbers) or 'NULL'})")


def is_past(field: Any, within_s: float, *, ago_s: float = 0.0) -> Any:
    """Whether a time, in seconds since 1970, is unset, at least `ago_s` ago, or more than `within_s` ahead.

    Nothing is set for so far ahead: such a time was written before the database's clock was set back.
    """
    now = database.clock()
    return field.is_null() | (field <= now - ago_s) | (field > now + within_s)


def for_update(query: Any) -> Any:
    """Make a query lock its rows until the end of the transaction; SQLite's write transaction locks everything."""
    return query if database.is_sqlite() else query.for_update()


def lock_rows(key: Any, values: Iterable[Any]) -> None:
    """Lock the rows of these keys until the commit, in the order of the keys; does nothing on SQLite.

    Otherwise, on PostgreSQL, two writers of the same rows would deadlock.
    """
    ordered = sorted(set(values))
    if ordered and not database.is_sqlite():
        list(key.model.select(key).where(key.in_(ordered)).order_by(key).for_update().tuples())


def insert_rows(model: Any, fields: Iterable[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert tuples in chunks, with the model's defaults for other fields; existing unique keys are left unchanged.

    Plain `executemany` costs a third of model queries.
    """
    given = [field.column_name for field in fields]
    defaults = {field.column_name: value for field, value in model._meta.defaults.items()}
    others = {name: value for name, value in defaults.items() if name not in given}
    columns = ", ".join(f'"{name}"' for name in (*given, *others))
    marks = ", ".join(["?" if database.is_sqlite() else "%s"] * (len(given) + len(others)))
    sql = f'INSERT INTO "{model._meta.table_name}" ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING'
    for part in chunked(rows, database.ROWS_PER_INSERT):
        db.cursor().executemany(sql, [(*row, *others.values()) for row in part])


ROWS_PER_WRITE = 10_000
"""SQLite stores so many of the widest rows, with two indexes, in at most 0.12 s of processor time; 25,000 take 0.27 s
and save 3 % in all.
"""
Before = Callable[[int], None]
"""Called first in each transaction, with the number of rows that it stores."""


def store(model: Any, fields: Sequence[Any], rows: Iterable[tuple[Any, ...]], before: Before) -> None:
    """Insert tuples in the order of `fields`, with the model's defaults for other fields, in short transactions.

    An existing unique key raises IntegrityError.
    """
    names = [field.column_name for field in fields]
    defaults = {field.column_name: value for field, value in model._meta.defaults.items()}
    others = {name: value for name, value in defaults.items() if name not in names}
    columns, rest = [*names, *others], tuple(others.values())
    given = iter(rows)
    while part := list(islice(given, ROWS_PER_WRITE)):
        with database.write():
            before(len(part))
            _insert(model._meta.table_name, columns, [(*row, *rest) for row in part] if rest else part)


def _insert(table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    named = ", ".join(f'"{column}"' for column in columns)
    if database.is_sqlite():
        marks = ", ".join("?" * len(columns))
        db.cursor().executemany(f'INSERT INTO "{table}" ({named}) VALUES ({marks})', rows)
        return
    # COPY costs a third of INSERT there.
    with db.cursor() as cursor, cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def update(keys: Sequence[Any], fields: Sequence[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    """Update rows, given as tuples of the new values of `fields`, then of the `keys` that identify the row.

    Call inside a write transaction.
    """
    mark = "?" if database.is_sqlite() else "%s"
    table = fields[0].model._meta.table_name
    values = ", ".join(f'"{field.column_name}" = {mark}' for field in fields)
    named = " AND ".join(f'"{key.column_name}" = {mark}' for key in keys)
    db.cursor().executemany(f'UPDATE "{table}" SET {values} WHERE {named}', rows)
