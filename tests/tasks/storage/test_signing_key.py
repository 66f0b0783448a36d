"""The key that signs cookies: one for all machines on a PostgreSQL, a file on SQLite; the one given comes first."""

from __future__ import annotations

import dataclasses
import pathlib
import threading

import pytest

from tasks.settings import Settings, read_settings
from tasks.storage import database, signing_key
from tasks.storage.models.operations import SigningKey
from tests.conftest import both_databases

pytestmark = [pytest.mark.usefixtures("records")]


@pytest.fixture
def settings(database_url: str, tmp_path: pathlib.Path) -> Settings:
    return read_settings({"WALLETKIN_DATABASE_URL": database_url, "WALLETKIN_DATA_DIR": str(tmp_path / "one")})


@both_databases
def test_machines_with_folders_of_their_own_agree_on_postgresql(settings: Settings, tmp_path: pathlib.Path) -> None:
    other = dataclasses.replace(settings, data_dir=tmp_path / "other")
    agree = signing_key.signing_key(settings) == signing_key.signing_key(other)
    assert agree is not database.is_sqlite()
    assert (settings.data_dir / "secret_key").exists() is database.is_sqlite()
    assert len(signing_key.signing_key(settings)) == 64


@both_databases
def test_all_that_start_at_once_get_the_same_key(settings: Settings) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(signing_key.signing_key(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_of_the_settings_is_stored_nowhere(settings: Settings) -> None:
    given = dataclasses.replace(settings, given_secret_key="a key that was given")
    assert signing_key.signing_key(given) == "a key that was given"
    assert SigningKey.select().count() == 0
    assert not (settings.data_dir / "secret_key").exists()
