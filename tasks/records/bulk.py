"""Stores many rows quickly, in short transactions. Knows no table; the modules named after their subject do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from tasks.records import database

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
        database.db.cursor().executemany(f'INSERT INTO "{table}" ({named}) VALUES ({marks})', rows)
        return
    # A third of what inserting them costs there.
    with database.db.cursor() as cursor, cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
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
    database.db.cursor().executemany(f'UPDATE "{table}" SET {values} WHERE {named}', rows)
