"""The key that signs cookies without `WALLETKIN_SECRET_KEY`: a file beside SQLite, or a row of PostgreSQL.

A reader of the row can read every analysis and its id anyway, so that a forged cookie gains nothing.
"""

from __future__ import annotations

import pathlib
import secrets

from tasks.settings import Settings
from tasks.storage import database
from tasks.storage.models.operations import SigningKey

ONLY = 1


def signing_key(settings: Settings) -> str:
    """Return the key of the settings, otherwise the one that all processes on this database share, making it first."""
    if settings.given_secret_key or database.is_sqlite():
        return settings.secret_key
    with database.session():
        SigningKey.insert(id=ONLY, secret=secrets.token_hex(32)).on_conflict_ignore().execute()
        return str(SigningKey.get_by_id(ONLY).secret)


def rows_beside(file: pathlib.Path) -> list[tuple[int, str]]:
    """Return the row for the key file beside a SQLite database; no row without that file."""
    key_file = file.parent / "secret_key"
    return [(ONLY, key_file.read_text().strip())] if key_file.is_file() else []
