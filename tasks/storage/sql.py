"""Stores many rows quickly, in short transactions. Knows no table; the modules named after their subject do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from peewee import SQL, chunked

from tasks.storage import database
from tasks.storage.models.base import db


def columns(fields: Iterable[Any]) -> str:
    """Write the columns of some fields out, for `rows`."""
    return ", ".join(f'"{field.column_name}"' for field in fields)


def rows(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Read all rows of a query that is written out, `?` for each value.

    For what every page asks: peewee takes several times as long to write such a query as the database to answer it.
    """
    found: list[tuple[Any, ...]] = db.execute_sql(
        sql if database.is_sqlite() else sql.replace("?", "%s"), values
    ).fetchall()
    return found


def sql_in(numbers: Iterable[int]) -> SQL:
    """Write whole numbers out as the right side of `IN`: as a parameter each costs more than looking it up.

    Without any, nothing is in it.
    """
    return SQL(f"({', '.join(str(int(number)) for number in numbers) or 'NULL'})")


def for_update(query: Any) -> Any:
    """Make a query hold its rows until the end of the transaction; SQLite's write transaction holds everything."""
    return query if database.is_sqlite() else query.for_update()


def lock_rows(key: Any, values: Iterable[Any]) -> None:
    """Hold the rows of these keys until the commit, in the order that everybody takes them in; nothing on SQLite.

    Two writers of the same rows would else wait for each other on PostgreSQL.
    """
    wanted = sorted(set(values))
    if wanted and not database.is_sqlite():
        list(key.model.select(key).where(key.in_(wanted)).order_by(key).for_update().tuples())


def insert_rows(model: Any, fields: Iterable[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert plain tuples in chunks; rows whose unique key is there already are left as they are.

    Plain `executemany`, with the model's defaults for the other fields, costs a third of what model queries cost.
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
"""Of the widest rows with two indexes SQLite stores so many in 0.09 s to 0.12 s of processor time. Each transaction
writes every page of an index that it touches, but parts of 25,000 save only 3 % of the whole and take 0.27 s each.
"""
Before = Callable[[int], None]
"""Called inside each transaction, first of all, with the number of rows that it stores."""


def store(model: Any, fields: Sequence[Any], rows: Iterable[tuple[Any, ...]], before: Before) -> None:
    """Insert rows, given as tuples in the order of `fields`; other fields take the model's defaults.

    None of them may be there yet: a unique key that is refuses the transaction.
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
    # A third of what inserting them costs there.
    with db.cursor() as cursor, cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def update(keys: Sequence[Any], fields: Sequence[Any], rows: Iterable[tuple[Any, ...]]) -> None:
    """Change rows, given as tuples of the new values of `fields` and then those of the `keys` that name the row.

    Inside the caller's write transaction: they change all together.
    """
    mark = "?" if database.is_sqlite() else "%s"
    table = fields[0].model._meta.table_name
    values = ", ".join(f'"{field.column_name}" = {mark}' for field in fields)
    named = " AND ".join(f'"{key.column_name}" = {mark}' for key in keys)
    db.cursor().executemany(f'UPDATE "{table}" SET {values} WHERE {named}', rows)
