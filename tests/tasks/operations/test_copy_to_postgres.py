"""Moving an embedded database into PostgreSQL: every row, its numbers, its bytes; all or nothing."""

from __future__ import annotations

import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from peewee import AutoField, BlobField, BooleanField, DoubleField, TextField

from tasks.errors import SettingsError, WalletkinError
from tasks.operations import copy_to_postgres
from tasks.settings import Settings, read_settings
from tasks.storage import database, signing_key, sql
from tasks.storage.models import MODELS
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.operations import SigningKey
from tasks.storage.models.results import Pair, PairOrder
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Wallet
from tests.conftest import use_base
from tests.support.servers import ROOT
from tests.support.waiting import HANG_S

ROWS = 7


@pytest.fixture
def source(migrated_file: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A file with rows in every table: all kinds of values, the awkward ones too."""
    path = tmp_path / "embedded" / "walletkin.db"
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    with sqlite3.connect(path) as file:
        for model in MODELS:
            if model is SigningKey:
                continue
            fields = model._meta.sorted_fields
            marks = ", ".join("?" * len(fields))
            rows = [[value(field, number) for field in fields] for number in range(1, ROWS + 1)]
            names = sql.columns(fields)
            file.executemany(f'INSERT INTO "{model._meta.table_name}" ({names}) VALUES ({marks})', rows)
    file.close()
    return path


def value(field: Any, number: int) -> Any:
    if field.null and number == 2:
        return None
    if isinstance(field, BooleanField):
        return number % 2
    if isinstance(field, BlobField):
        return bytes(range(256)) * number
    if isinstance(field, DoubleField):
        return [0.0, 0.1, 1e-300, 1.7e308, -0.0, 1 / 3, 2.0**53 + 2][number - 1]
    if isinstance(field, TextField):
        # In byte order these stand otherwise than in the order of a language.
        return ["a", "B", "é", "a\tb\\N\n'\"", "_", "Ω🦊", ""][number - 1] + ("" if number == 7 else str(number))
    if isinstance(field, AutoField):
        return number * 3
    return number if field.field_type in ("INT", "SMALLINT") or field.primary_key else 2**62 + number


@pytest.fixture
def target(migrated_template: str, postgres_url: str, tmp_path: pathlib.Path) -> Iterator[Settings]:
    name = f"copy_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    url = postgres_url.rpartition("/")[0] + f"/{name}"
    yield read_settings({"WALLETKIN_DATABASE_URL": url, "WALLETKIN_DATA_DIR": str(tmp_path / "new")})
    if hasattr(db.obj, "close_all"):
        db.obj.close_all()
    use_base()


def copy(source: pathlib.Path, target: Settings) -> dict[str, int]:
    told: dict[str, int] = {}
    copy_to_postgres.copy_data(source, target, told.__setitem__)
    return told


def test_every_row_of_every_table_arrives_as_it_was(source: pathlib.Path, target: Settings) -> None:
    told = copy(source, target)
    assert told == {model._meta.table_name: 0 if model is SigningKey else ROWS for model in MODELS}
    with database.session():
        assert sorted(row.label for row in Analysis.select()) == sorted(
            value(Analysis.label, number) for number in range(1, ROWS + 1)
        )
        assert bytes(PairOrder.select().order_by(PairOrder.chunk.desc()).first().numbers) == bytes(range(256)) * ROWS
        assert [row.overall for row in Pair.select().order_by(Pair.number)][3:] == [1.7e308, -0.0, 1 / 3, 2.0**53 + 2]
        assert [row.is_active for row in Token.select().order_by(Token.id)] == [n % 2 == 1 for n in range(1, ROWS + 1)]


def test_numbers_given_afterwards_are_new(source: pathlib.Path, target: Settings) -> None:
    copy(source, target)
    with database.session():
        assert Wallet.insert(address="another").execute() == ROWS * 3 + 1


def test_an_empty_file_leaves_the_first_number_free(migrated_file: pathlib.Path, target: Settings) -> None:
    assert set(copy(migrated_file, target).values()) == {0}
    with database.session():
        assert Wallet.insert(address="the first").execute() == 1


def test_browsers_keep_their_analyses(source: pathlib.Path, target: Settings) -> None:
    (source.parent / "secret_key").write_text("a key of the embedded default\n")
    assert copy(source, target)["signing_key"] == 1
    assert signing_key.signing_key(target) == "a key of the embedded default"


def test_a_target_that_holds_something_is_left_alone(source: pathlib.Path, target: Settings) -> None:
    with psycopg.connect(target.database_url) as server:
        server.execute(
            "INSERT INTO token (mint, is_active, status, attempts, wallets_seen, first_seen_at, stage) "
            "VALUES ('there already', true, 'pending', 0, 0, 1, 0)"
        )
    with pytest.raises(copy_to_postgres.CopyFailed, match="not empty .table token"):
        copy(source, target)
    with database.session():
        assert (Wallet.select().count(), Token.select().count()) == (0, 1)


def test_what_changes_meanwhile_is_noticed(source: pathlib.Path, target: Settings) -> None:
    def write(table: str, count: int) -> None:
        if table == "pair":
            with sqlite3.connect(source) as file:
                file.execute("DELETE FROM wallet")
            file.close()

    with sqlite3.connect(source) as file:  # as the program itself has it
        file.execute("PRAGMA journal_mode = wal")
        with pytest.raises(copy_to_postgres.CopyFailed, match="wrote to .* meanwhile"):
            copy_to_postgres.copy_data(source, target, write)
    file.close()
    with database.session():
        assert Wallet.select().count() == 0


def test_a_row_that_arrives_otherwise_is_noticed(source: pathlib.Path, target: Settings) -> None:
    with psycopg.connect(target.database_url) as server:
        server.execute(
            "CREATE FUNCTION spoil() RETURNS trigger AS $$ BEGIN NEW.lift := NEW.lift + 1e-9; RETURN NEW; END $$ "
            "LANGUAGE plpgsql"
        )
        server.execute("CREATE TRIGGER spoil BEFORE INSERT ON pair FOR EACH ROW EXECUTE FUNCTION spoil()")
    with pytest.raises(copy_to_postgres.CopyFailed, match="table pair has 7 rows that are not the same"):
        copy(source, target)
    with database.session():
        assert Wallet.select().count() == 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("DELETE FROM schema_migration WHERE name LIKE '0004%'", "another version"),
        ("DROP TABLE schema_migration", "not a database of Walletkin"),
    ],
)
def test_a_file_of_another_version_is_refused(source: pathlib.Path, target: Settings, spoil: str, reason: str) -> None:
    with sqlite3.connect(source) as file:
        file.execute(spoil)
    file.close()
    with pytest.raises(copy_to_postgres.CopyFailed, match=reason):
        copy(source, target)


def test_a_file_that_is_not_there_is_not_made(target: Settings, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WalletkinError, match=r"nowhere\.db cannot be opened"):
        copy(tmp_path / "nowhere.db", target)
    assert not (tmp_path / "nowhere.db").exists()


def test_a_target_that_is_no_postgresql_is_refused(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsError, match="WALLETKIN_DATABASE_URL must name the PostgreSQL"):
        copy(source, read_settings({"WALLETKIN_DATA_DIR": str(tmp_path)}))


def test_the_command_says_what_it_copied_and_refuses_in_one_line(source: pathlib.Path, target: Settings) -> None:
    command = [sys.executable, "-m", "tasks.cli", "copy-data", str(source)]
    environ = {"PATH": os.environ["PATH"], "WALLETKIN_DATABASE_URL": target.database_url}
    environ["WALLETKIN_DATA_DIR"] = str(target.data_dir)
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wallet" in done.stdout
    again = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=HANG_S)
    assert again.returncode == 2
    assert again.stderr.splitlines() == [
        "walletkin: The database at WALLETKIN_DATABASE_URL is not empty (table wallet); copy into a new one."
    ]
