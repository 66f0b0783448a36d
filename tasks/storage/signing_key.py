"""The key that signs cookies, where none is given: beside SQLite in a file, on PostgreSQL in a row, for every machine.

Whoever can read the row can read every analysis and its id as well, so that forging a cookie would give them nothing
more; with `WALLETKIN_SECRET_KEY` it is in no database.
"""

from __future__ import annotations

import pathlib
import secrets

from tasks.settings import Settings
from tasks.storage import database
from tasks.storage.models.operations import SigningKey

ONLY = 1


def signing_key(settings: Settings) -> str:
    """Return the key given, else the one that all processes on this database share; the first of them makes it."""
    if settings.given_secret_key or database.is_sqlite():
        return settings.secret_key
    with database.session():
        SigningKey.insert(id=ONLY, secret=secrets.token_hex(32)).on_conflict_ignore().execute()
        return str(SigningKey.get_by_id(ONLY).secret)


def rows_beside(file: pathlib.Path) -> list[tuple[int, str]]:
    """Return the row that a SQLite file's key would be; without one in its folder none."""
    kept = file.parent / "secret_key"
    return [(ONLY, kept.read_text().strip())] if kept.is_file() else []
