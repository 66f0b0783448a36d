"""Backups: what comes back is equal row for row, and the program runs on it; with the real tools of PostgreSQL."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tasks.operations import backup
from tasks.settings import read_settings
from tasks.simulator.server import Simulator
from tasks.storage import database, signing_key
from tasks.storage.models import MODELS
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.operations import SigningKey
from tests.conftest import use_base
from tests.support import servers
from tests.support.servers import ROOT
from tests.support.waiting import HANG_S
from tests.tasks.conftest import settle
from webapp import create_app


def contents() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, in the order of its key."""
    found = {}
    for model in MODELS:
        key = [model._meta.primary_key] if model._meta.primary_key else []
        names = getattr(model._meta.primary_key, "field_names", None)
        order = [getattr(model, name) for name in names] if names else key
        rows = model.select().order_by(*order).tuples()
        found[model.__name__] = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows]
    return found


def restored(url: str, folder: pathlib.Path) -> tuple[dict[str, list[tuple[Any, ...]]], int]:
    """Run the app on a restored database; return the rows that it finds, and the status of an analysis's page."""
    app = create_app(read_settings({"WALLETKIN_DATABASE_URL": url, "WALLETKIN_DATA_DIR": str(folder)}))
    with database.session():
        found, key = contents(), Analysis.get().key
    answer = app.test_client().get(f"/analyses/{key}")
    if hasattr(db.obj, "close_all"):
        db.obj.close_all()
    return found, answer.status_code


@pytest.fixture
def filled(chain: Simulator, reading: None) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """A database with an analysis that is complete; its rows."""
    analysis = settle(chain.world.addresses[:3])
    assert analysis.state == "complete"
    if not database.is_sqlite():
        SigningKey.insert(id=signing_key.ONLY, secret="s" * 64).execute()
    found = contents()
    assert sum(map(len, found.values())) > 1000
    yield found
    use_base()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_of_the_embedded_database_is_equal_and_works(
    filled: dict[str, list[tuple[Any, ...]]], tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "kept" / "walletkin.db"
    target.parent.mkdir()
    size = backup.back_up(target)
    assert size == target.stat().st_size > 100_000
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]  # one file, without a log or a part beside it
    db.close()
    found, status = restored(f"sqlite:///{target}", target.parent)
    assert status == 200
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in filled.items()}
    assert found == filled


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_made_while_others_write_is_of_one_moment(filled: object, tmp_path: pathlib.Path) -> None:
    """Each of its writes adds a pair of rows; no copy may hold one without the other, and no writer may fail."""
    path, stop, faults = str(db.obj.database), threading.Event(), []
    begun = threading.Event()

    def write() -> None:
        try:
            with closing(sqlite3.connect(path, timeout=HANG_S, isolation_level=None)) as file:
                number = 0
                while not stop.is_set():
                    number += 1
                    file.execute("BEGIN IMMEDIATE")
                    rows = [(side, n) for n in range(number * 50, number * 50 + 50) for side in ("left", "right")]
                    file.executemany("INSERT INTO schedule_tick (name, minute) VALUES (?, ?)", rows)
                    file.execute("COMMIT")
                    begun.set()
        except sqlite3.Error as fault:
            faults.append(fault)

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(HANG_S)
    copies = [tmp_path / f"copy {number}.db" for number in range(5)]
    for copy in copies:
        backup.back_up(copy)
        begun.clear()
        assert begun.wait(HANG_S), faults  # on a busy machine too, something is written between two copies
    stop.set()
    writer.join()
    assert faults == []
    held = []
    for copy in copies:
        with closing(sqlite3.connect(copy)) as file:
            sides = dict(
                file.execute("SELECT name, COUNT(*) FROM schedule_tick WHERE name IN ('left', 'right') GROUP BY name")
            )
        assert sides["left"] == sides["right"]
        held.append(sides["left"])
    assert held == sorted(held)
    assert len(set(held)) == len(held)


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {f"WALLETKIN_{name}": value for name, value in environ.items()}
    run = [sys.executable, "-m", "tasks.cli", *arguments]
    env = {"PATH": os.environ["PATH"], **given}
    return subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, timeout=HANG_S)


def test_the_command_says_what_it_did_and_what_is_in_its_way(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "copy.db"
    refused = command("backup", str(target), DATA_DIR=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no database" in refused.stderr
    assert command("migrate", DATA_DIR=str(tmp_path)).returncode == 0
    done = command("backup", str(target), DATA_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"backed up: {target}, ")
    before = target.read_bytes()
    again = command("backup", str(target), DATA_DIR=str(tmp_path))
    assert "exists already" in again.stderr
    assert target.read_bytes() == before
    nowhere = command("backup", str(tmp_path / "no" / "copy.db"), DATA_DIR=str(tmp_path))
    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (2, 1)
    elsewhere = command("backup", str(tmp_path / "pg"), DATABASE_URL="postgresql://kin@127.0.0.1:1/kin")
    assert "pg_dump" in elsewhere.stderr


def tool(name: str) -> str:
    found = servers._program(name, f"/usr/lib/postgresql/*/bin/{name}")
    if found is None:
        servers.missing(f"there is no {name} on this machine")
    return str(found)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_pg_dump_wrote_comes_back_equal_and_works(
    database_url: str, filled: dict[str, list[tuple[Any, ...]]], postgres_url: str, tmp_path: pathlib.Path
) -> None:
    dump, name = tmp_path / "walletkin.dump", f"restored_{uuid.uuid4().hex}"
    subprocess.run([tool("pg_dump"), "--format=custom", f"--file={dump}", database_url], check=True)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = postgres_url.rpartition("/")[0] + f"/{name}"
    subprocess.run(
        [tool("pg_restore"), "--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={url}", str(dump)],
        check=True,
    )
    db.close()
    db.obj.close_all()
    found, status = restored(url, tmp_path)
    assert status == 200
    assert found == filled
    with psycopg.connect(url) as connection:  # the numbers go on where they were
        connection.execute("INSERT INTO token (mint, first_seen_at, is_active, status, attempts, wallets_seen, stage) "
                           "VALUES ('new', 0, true, 'pending', 0, 0, 0)")  # fmt: skip
