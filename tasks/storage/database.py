"""The database connection: opening, migrations, transactions, the database's clock.

SQLite in WAL mode by default, PostgreSQL by a setting; the same code runs on both.
"""

from __future__ import annotations

import contextlib
import pathlib
import select
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from peewee import SQL, Database, SqliteDatabase
from playhouse import db_url
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database

from tasks.errors import SettingsError
from tasks.settings import Settings
from tasks.storage.models.base import db

MIGRATIONS = pathlib.Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x57414C4C  # an arbitrary number that names this program's advisory lock
ROWS_PER_INSERT = 500
MAX_CONNECTIONS = 256
TIMEOUT_S = 15  # for a lock of SQLite


def open_database(settings: Settings) -> Database:
    """Bind the models to the database of the settings, without connecting."""
    if settings.database_url.startswith("sqlite"):
        path = _sqlite_path(settings.database_url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"The folder {path.parent} cannot be made: {error.strerror}.") from None
        # Pooled: opening a connection for each request took a millisecond, a sixth of a page, and closing the last one
        # checkpoints the write-ahead log.
        database: Database = PooledSqliteDatabase(
            str(path),
            max_connections=MAX_CONNECTIONS,
            pragmas=_pragmas(),
            timeout=TIMEOUT_S,
            lock_type="IMMEDIATE",
            check_same_thread=False,
        )
    else:
        database = db_url.connect(
            POSTGRES + settings.database_url[settings.database_url.index("://") :],
            unquote_user=True,
            unquote_password=True,
            max_connections=settings.workers + settings.web_threads + 16,
            stale_timeout=300,
            **connection_timeouts(settings.database_url),
        )
    db.initialize(database)
    return database


class PooledPostgres(PooledPsycopg3Database):
    """A pool that tests a connection by its socket, and queries the server only when the socket is readable.

    An idle server sends nothing unless it closes. With the pool's SELECT 1 before each
    use a poll took 2.6 ms instead of 1.5.
    """

    def _is_closed(self, connection: Any) -> bool:
        return bool(connection.closed) or (
            socket_readable(connection.fileno()) and bool(super()._is_closed(connection))
        )


def socket_readable(socket: int) -> bool:
    """Whether a socket has unread data or its peer has closed it."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


POSTGRES = "walletkin+postgres"
db_url.register_database(PooledPostgres, POSTGRES)


# Without them a connection to a machine that has vanished blocks for minutes, until the kernel gives up.
TIMEOUTS = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 15_000}  # fmt: skip


def connection_timeouts(url: str) -> dict[str, Any]:
    """Return the driver's timeouts for a PostgreSQL URL, except those that the URL sets itself."""
    given = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    return {name: value for name, value in TIMEOUTS.items() if name not in given}


def _sqlite_path(url: str) -> pathlib.Path:
    return pathlib.Path(urllib.parse.unquote(url.removeprefix("sqlite:///")))


def _pragmas() -> list[tuple[str, Any]]:
    return [
        ("busy_timeout", TIMEOUT_S * 1000),  # first: switching to WAL may itself have to wait
        ("journal_mode", "wal"),
        ("synchronous", 1),
        ("foreign_keys", 1),
        ("cache_size", -32_000),
        ("journal_size_limit", 64 * 1024 * 1024),
    ]


def is_sqlite() -> bool:
    return isinstance(db.obj, SqliteDatabase)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Use one connection for the block and return it to the pool after it; nested blocks share the outer one."""
    if not db.is_closed():
        yield
        return
    db.connect()
    try:
        yield
    finally:
        if not db.is_closed():
            db.close()


def migrate() -> list[str]:
    """Run the missing migrations and return their names.

    When several processes start at once, one migrates and the others wait. Raises SettingsError for a database of a
    newer version.
    """
    if is_sqlite():
        _switch_to_wal(str(db.obj.database))
    with session(), _migration_lock():
        runner = Runner(db.obj, str(MIGRATIONS))
        newer = [step.name for step in runner.status() if step.path is None]
        if newer:
            raise SettingsError(f"The database is newer than this program (it has {newer[-1]}); update Walletkin.")
        return list(runner.up())


def _switch_to_wal(path: str) -> None:
    """Switch a new file to WAL. Processes that do so at once can deadlock, where SQLite ignores its busy timeout."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=TIMEOUT_S)) as connection:
                connection.execute("PRAGMA journal_mode = wal")
            return
        except sqlite3.Error as error:
            if "locked" not in str(error):
                return  # the next connection raises it as users see it
        time.sleep(0.02)


@contextlib.contextmanager
def _migration_lock() -> Iterator[None]:
    if is_sqlite():
        with db.obj.transaction("EXCLUSIVE"):
            yield
        return
    db.execute_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    try:
        yield
    finally:
        db.execute_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


def clock() -> Any:
    """Return the SQL expression for now by the database's clock, in Unix seconds with fractions."""
    if is_sqlite():
        return SQL("((julianday('now') - 2440587.5) * 86400.0)")
    return SQL("(extract(epoch from clock_timestamp())::double precision)")


def now_s() -> float:
    """Return now by the database's clock, which processes on all machines share, in Unix seconds."""
    return float(db.execute_sql(f"SELECT {clock().sql}").fetchone()[0])


def write() -> Any:
    """Return a write transaction (BEGIN IMMEDIATE on SQLite, so that it never fails half way for lack of the lock).

    Read queries to their end (`list`) before writing: on SQLite a half-read one keeps an old snapshot, and the next
    write fails when another connection has written since.
    """
    return db.atomic()
