"""The database: migrations forward, by one process at a time, never backwards; and its clock."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
import time

import pytest
from playhouse.schema_diff import diff_models

from tasks.errors import SettingsError
from tasks.records import database, tokens
from tasks.records.models import MODELS, Tick
from tests.conftest import both_databases

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = both_databases


@pytest.mark.usefixtures("records")
def test_the_migrations_make_the_tables_that_the_models_say() -> None:
    found = diff_models(database.db.obj, list(MODELS))
    # The partial index is made by hand: peewee's models cannot say it on both databases.
    assert [line for line in str(found).splitlines() if "job_active" not in line] == []


@pytest.mark.usefixtures("records")
def test_migrating_twice_changes_nothing() -> None:
    assert database.migrate() == []


@pytest.mark.usefixtures("records")
def test_a_newer_database_is_refused() -> None:
    database.db.execute_sql(
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_from_the_future', '2099-01-01')"
    )
    with pytest.raises(SettingsError, match="newer"):
        database.migrate()


@pytest.mark.usefixtures("records")
def test_the_clock_is_now() -> None:
    assert database.now_s() == pytest.approx(time.time(), abs=2)


@pytest.mark.usefixtures("records")
def test_inserting_a_row_that_is_there_leaves_it() -> None:
    rows = [("a", 1), ("a", 1), ("b", 2)]
    database.insert_rows(Tick, (Tick.name, Tick.minute), rows)
    database.insert_rows(Tick, (Tick.name, Tick.minute), rows)
    assert Tick.select().count() == 2


def test_processes_that_start_at_once_migrate_once(database_url: str, tmp_path: pathlib.Path) -> None:
    environ = {"WALLETKIN_DATABASE_URL": database_url, "WALLETKIN_DATA_DIR": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "tasks.cli", "migrate"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    printed = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, printed
    assert sum(b"migrated: 0001_initial" in out for out, _ in printed) == 1


@pytest.mark.usefixtures("records")
def test_syncs_that_register_the_same_mints_at_once_do_not_block_each_other() -> None:
    names = [f"mint {number}" for number in range(40)]
    barrier, faults = threading.Barrier(4), []

    def register(turn: int) -> None:
        order = names[turn * 10 :] + names[: turn * 10]
        try:
            with database.session():
                for round_ in range(5):
                    barrier.wait()
                    with database.write():
                        tokens.ensure_mints({f"{name} of {round_}": 6 for name in order})
        except Exception as fault:  # a thread's own would be lost
            faults.append(fault)
            barrier.abort()

    threads = [threading.Thread(target=register, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert tokens.Token.select().count() == 200
