"""Copies the embedded database while it is in use. PostgreSQL has its own tools (docs/operations/backup.md)."""

from __future__ import annotations

import os
import pathlib
import sqlite3
from contextlib import closing

from tasks.errors import SettingsError
from tasks.storage import database
from tasks.storage.models.base import db

PATIENCE_S = 15.0


def back_up(target: pathlib.Path) -> int:
    """Write a copy of the database, as it is at one moment, to a new file of mode 600; return its bytes.

    It blocks nothing: on SQLite a reader stops no writer. The copy is checked before it gets its name, so that a
    file of that name is whole. Raises SettingsError when there is nothing to copy, or no room for the copy.
    """
    if not database.is_sqlite():
        raise SettingsError(
            "The database is PostgreSQL; back it up with pg_dump --format=custom (see docs/operations/backup.md)."
        )
    source = pathlib.Path(str(db.obj.database))
    if not source.exists():
        raise SettingsError(f"There is no database {source} to back up.")
    if target.exists():
        raise SettingsError(f"{target} exists already; name a new file.")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        _copy(source, part)
        os.link(part, target)  # unlike a rename it never replaces what came there meanwhile
    except OSError as error:
        raise SettingsError(f"{target} cannot be written: {error.strerror}.") from None
    except sqlite3.Error as error:
        raise SettingsError(f"{source} cannot be copied: {error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with (
        closing(sqlite3.connect(source.as_uri() + "?mode=ro", uri=True, timeout=PATIENCE_S)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        # All pages in one step: between two, a write of another process would make it begin anew.
        read.backup(written, pages=-1)
        written.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        (found,) = written.execute("PRAGMA quick_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged ({found})")
    with open(target, "rb") as copy:
        os.fsync(copy.fileno())
