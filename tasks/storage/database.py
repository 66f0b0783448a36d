"""The database connection: opening, migrating, transactions and the database's clock. Holds no queries of a subject.

SQLite in WAL mode by default, PostgreSQL by a setting; the same code runs on both.
"""

from __future__ import annotations

import contextlib
import pathlib
import select
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
MOST_CONNECTIONS = 256


def open_database(settings: Settings) -> Database:
    """Bind the models to the database that the settings name. Connects nothing yet."""
    if settings.database_url.startswith("sqlite"):
        path = _sqlite_path(settings.database_url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"The folder {path.parent} cannot be made: {error.strerror}.") from None
        # Kept open between uses: opening one, with its pragmas, an empty cache and no statement prepared, took a sixth
        # of a page, and the last one to close folds the log into the database, which the next one builds anew.
        database: Database = PooledSqliteDatabase(
            str(path),
            max_connections=MOST_CONNECTIONS,
            pragmas=_pragmas(),
            timeout=15,
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
    """A pool that looks at a connection's socket before it hands it out, and asks the server only when there is news.

    Without a request on the way a server says nothing but that it goes; the pool's own question before every use cost
    a poll as much as what it had come for.
    """

    def _is_closed(self, connection: Any) -> bool:
        return bool(connection.closed) or (
            socket_readable(connection.fileno()) and bool(super()._is_closed(connection))
        )


def socket_readable(socket: int) -> bool:
    """Whether something came in on a socket that nobody has read, or its other end is gone."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


POSTGRES = "walletkin+postgres"
db_url.register_database(PooledPostgres, POSTGRES)


# Without them a server whose machine is gone, and cannot refuse, is waited for until the kernel gives up: minutes.
TIMEOUTS = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
            "tcp_user_timeout": 15_000}  # fmt: skip


def connection_timeouts(url: str) -> dict[str, Any]:
    """Return how long PostgreSQL may keep a caller waiting, as its driver wants it; what the URL says itself stays."""
    said = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    return {name: value for name, value in TIMEOUTS.items() if name not in said}


def _sqlite_path(url: str) -> pathlib.Path:
    return pathlib.Path(urllib.parse.unquote(url.removeprefix("sqlite:///")))


def _pragmas() -> list[tuple[str, Any]]:
    return [
        ("busy_timeout", 15_000),  # first: switching to WAL may itself have to wait
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
    """Hold a connection for the block, and give it back at the end; nested blocks share the outer one."""
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
    """Bring the tables up to this program's version and return the names of the steps taken.

    Safe with several processes starting at once: one migrates, the others wait. Raises SettingsError when the
    database was made by a newer version.
    """
    with session(), _migration_lock():
        runner = Runner(db.obj, str(MIGRATIONS))
        newer = [step.name for step in runner.status() if step.path is None]
        if newer:
            raise SettingsError(f"The database is newer than this program (it has {newer[-1]}); update Walletkin.")
        return list(runner.up())


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
    """The SQL expression for now by the database's clock, in seconds since 1970 with fractions."""
    if is_sqlite():
        return SQL("((julianday('now') - 2440587.5) * 86400.0)")
    return SQL("(extract(epoch from clock_timestamp())::double precision)")


def now_s() -> float:
    """Now by the database's clock, which all processes on all machines share."""
    return float(db.execute_sql(f"SELECT {clock().sql}").fetchone()[0])


def write() -> Any:
    """A write transaction (BEGIN IMMEDIATE on SQLite, so that it never fails half way for want of the lock).

    Read a query to its end before writing (`list`): on SQLite a half-read one keeps an old view of the database, and
    the next write of its connection is refused at once when another connection has written since.
    """
    return db.atomic()
