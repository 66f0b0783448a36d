"""The database: migrations forward, by one process at a time, never backwards; and its clock."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from peewee import IntegrityError
from playhouse.migrations import Runner
from playhouse.schema_diff import diff_models

from tasks.errors import SettingsError
from tasks.settings import read_settings
from tasks.storage import database, pairs, results, sql, tokens
from tasks.storage.models import MODELS
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job, ScheduleTick
from tasks.storage.models.operations import Heartbeat, RpcCapabilities, SigningKey
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token, WalletMint
from tests.conftest import both_databases, use_base
from tests.support.servers import ROOT
from tests.support.waiting import HANG_S

pytestmark = [both_databases, pytest.mark.unmigrated]

BY_HAND = ("job_active", "token_wanted")


@pytest.mark.usefixtures("records")
def test_the_migrations_make_the_tables_that_the_models_say() -> None:
    found = diff_models(db.obj, list(MODELS))
    # The partial index is made by hand: peewee's models cannot say it on both databases.
    assert [line for line in str(found).splitlines() if not any(name in line for name in BY_HAND)] == []


@pytest.mark.usefixtures("records")
def test_migrating_twice_changes_nothing() -> None:
    assert database.migrate() == []


@pytest.mark.usefixtures("records")
def test_a_newer_database_is_refused() -> None:
    db.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_from_the_future', '2099-01-01')")
    with pytest.raises(SettingsError, match="newer"):
        database.migrate()


@pytest.mark.usefixtures("records")
def test_the_clock_is_now() -> None:
    assert database.now_s() == pytest.approx(time.time(), abs=60)


@pytest.mark.usefixtures("records")
def test_inserting_a_row_that_is_there_leaves_it() -> None:
    rows = [("a", 1), ("a", 1), ("b", 2)]
    sql.insert_rows(ScheduleTick, (ScheduleTick.name, ScheduleTick.minute), rows)
    sql.insert_rows(ScheduleTick, (ScheduleTick.name, ScheduleTick.minute), rows)
    assert ScheduleTick.select().count() == 2


def migrate_at_once(database_url: str, folder: pathlib.Path) -> list[str]:
    """Let four processes migrate at the same time; return the lines they print."""
    environ = {"WALLETKIN_DATABASE_URL": database_url, "WALLETKIN_DATA_DIR": str(folder), "PATH": ""}
    command = [sys.executable, "-m", "tasks.cli", "migrate"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    printed = [process.communicate(timeout=HANG_S) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, printed
    return [line for out, _ in printed for line in out.decode().splitlines()]


def test_processes_that_start_at_once_migrate_once(database_url: str, tmp_path: pathlib.Path) -> None:
    assert migrate_at_once(database_url, tmp_path).count("migrated: 0001_initial") == 1


@pytest.mark.usefixtures("first_version")
def test_processes_that_start_at_once_carry_an_old_database_forward_once(
    database_url: str, tmp_path: pathlib.Path
) -> None:
    """The web process and the workers of an upgrade, as systemd starts them: all at the same time."""
    fill_first_version()
    db.close()
    steps = sorted(migrate_at_once(database_url, tmp_path))
    later = sorted(path.stem for path in database.MIGRATIONS.glob("0*.py"))[1:]
    assert steps == [f"migrated: {name}" for name in later]  # each by one of them
    db.connect()
    assert Token.select().count() == 5
    assert sorted(WalletMint.select().tuples()) == [(1, 1), (1, 2), (1, 4), (2, 1)]


def insert(table: str, **values: Any) -> None:
    """Insert a row into a table of an older version, which today's models do not describe."""
    mark = "?" if database.is_sqlite() else "%s"
    marks = ", ".join([mark] * len(values))
    db.execute_sql(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})",  # names from this file only
        tuple(values.values()),
    )


@pytest.mark.usefixtures("records")
def test_a_connection_returns_to_the_pool_without_its_transaction() -> None:
    db.close()
    with database.session():
        first = db.connection()
        first.execute("BEGIN")  # as an error may leave it
        first.execute("CREATE TABLE half_done (id INTEGER)")
    with database.session():
        assert db.connection() is first
        assert "half_done" not in db.get_tables()


@pytest.fixture
def first_version(database_url: str, tmp_path: pathlib.Path) -> Iterator[None]:
    """A database of the first version."""
    settings = read_settings({"WALLETKIN_DATABASE_URL": database_url, "WALLETKIN_DATA_DIR": str(tmp_path)})
    opened = database.open_database(settings)
    with database.session():
        Runner(opened, str(database.MIGRATIONS)).up("0001_initial")
        yield
    if hasattr(opened, "close_all"):
        opened.close_all()
    use_base()


def fill_first_version() -> None:
    token = {"is_active": True, "status": "pending", "attempts": 0, "first_seen_at": 1.0}
    for number in range(1, 6):
        insert("token", id=number, mint=f"mint {number}", wallets_seen=0, **token)
    held = {"1": "7", "4": str(2**80), "5": "0"}
    wallet = {"truncated": False, "syncs": 1, "transactions": 3}
    insert("wallet", id=1, address="w1", holdings=json.dumps(held), **wallet)
    insert("wallet", id=2, address="w2", holdings=None, **wallet)
    # A failed attempt names mint 0; sides 2 and 3 are transfers.
    for place, (wallet_id, side, mint_id) in enumerate(
        [(1, 0, 1), (1, 0, 1), (1, 1, 2), (1, 2, 3), (1, 4, 0), (2, 0, 1), (2, 3, 3)]
    ):
        insert(
            "movement", id=place + 1, wallet_id=wallet_id, side=side, mint_id=mint_id, signature=f"s{place}",
            sync_no=1, slot=place, parts=1, approximate=False,
        )  # fmt: skip
    for position, mint_id, spent_sol in [(0, 1, 1.5), (1, 1, 2.0), (0, 2, 0.0)]:
        insert(
            "allocation", result_id=3, position=position, mint_id=mint_id, spent_sol=spent_sol, buys=1, sells=0,
            bought="1", sold="0", received_sol=0.0, last_trade_at=1, weight=0.5,
        )  # fmt: skip
    job = {"queue": "pipeline", "tier": 3, "priority": 1, "done": 0, "attempts": 0, "lost_leases": 0}
    insert("job", id="j", kind="sync", subject="w1", state="succeeded", enqueued_at=1.0, **job)


@pytest.mark.usefixtures("first_version")
def test_the_second_step_carries_over_what_was_known() -> None:
    fill_first_version()
    assert database.migrate()[0] == "0002_enrichment"
    assert sorted(WalletMint.select().tuples()) == [(1, 1), (1, 2), (1, 4), (2, 1)]
    seen = Token.select(Token.id, Token.wallets_seen, Token.stage, Token.priority, Token.mint).order_by(Token.id)
    assert list(seen.tuples()) == [
        (n, count, 0, None, f"mint {n}") for n, count in zip(range(1, 6), [2, 1, 0, 1, 0], strict=True)
    ]
    assert sorted(ResultMint.select().tuples()) == [(3, 1, 2, 3.5), (3, 2, 1, 0.0)]
    assert results.mint_ids(3) == [1, 2]
    assert [(job.target, job.counts) for job in Job.select()] == [("w1", None)]


@pytest.mark.usefixtures("first_version")
def test_the_second_step_takes_an_empty_database_too_and_keeps_what_is_unique_unique() -> None:
    assert database.migrate()[0] == "0002_enrichment"
    assert tokens.ensure_mints({"new": 6}) == tokens.ensure_mints({"new": 6})
    again = [("new", 1.0)]
    sql.insert_rows(Token, (Token.mint, Token.first_seen_at), again)
    assert Token.select().count() == 1


def fill_second_version() -> None:
    """A result with unordered pairs, ties and unknown scores, and a larger one of another analysis."""
    analysis = {"label": "", "state": "complete", "created_at": 1.0, "window_days": 30.0, "timing_window_s": 60}
    more = {"tau": 0.5, "exclude": json.dumps(["money"]), "history_limit": 500, "version": "1", "wallets": 4}
    result = {"provisional": False, "wallets": 4, "computed_at": 1.0, "duration_s": 1.0, "summary": "{}", "rates": "{}"}
    for number in (1, 2):
        insert("analysis", id=number, key=f"k{number}", result_id=number, **analysis, **more)
        insert("result", id=number, analysis_id=number, version="1", dropped=False, **result)
    scores = {(2, 3): 0.5, (0, 1): None, (0, 2): 0.5, (1, 3): 0.9, (0, 3): 0.1, (1, 2): None}
    for (a, b), overall in scores.items():
        insert("pair", result_id=1, wallet_a=a, wallet_b=b, shared=a + b, overall=overall, behavioural=a / 10)
    mark = "?" if database.is_sqlite() else "%s"
    db.cursor().executemany(
        f"INSERT INTO pair (result_id, wallet_a, wallet_b, shared, overall) VALUES ({', '.join([mark] * 5)})",
        [(2, 0, b, 1, b / 30_000) for b in range(1, 25_001)],
    )


@pytest.mark.usefixtures("first_version")
def test_the_third_step_numbers_and_orders_the_pairs_of_before() -> None:
    Runner(db.obj, str(database.MIGRATIONS)).up("0002_enrichment")
    fill_second_version()
    assert database.migrate()[0] == "0003_analysis"
    rows, _ = pairs.page(1)
    assert [(row["wallet_a"], row["wallet_b"]) for row in rows] == [(1, 3), (0, 2), (2, 3), (0, 3), (0, 1), (1, 2)]
    assert [row["number"] for row in rows] == list(range(6))
    assert [row["shared"] for row in rows] == [4, 2, 5, 3, 1, 3]
    assert {row[name] for row in rows for name in (*pairs.CHANCE, *pairs.TIMING)} == {None}
    assert {tuple(row["insights"]) for row in rows} == {()}
    by_behaviour = [(row["wallet_a"], row["wallet_b"]) for row in pairs.page(1, sort="behavioural")[0]]
    assert by_behaviour == [(2, 3), (1, 2), (1, 3), (0, 1), (0, 2), (0, 3)]
    assert [row["wallet_b"] for row in pairs.page(1, sort="lift")[0]] == [1, 2, 3, 2, 3, 3]
    assert pairs.pair(2, 0, 25_000)["number"] == 0
    assert [row["wallet_b"] for row in pairs.stream(2, sort="matched")] == list(range(1, 25_001))


@pytest.mark.usefixtures("first_version")
def test_the_third_step_says_what_results_of_before_were_made_with_and_lack() -> None:
    Runner(db.obj, str(database.MIGRATIONS)).up("0002_enrichment")
    fill_second_version()
    database.migrate()
    kept = results.result(1)
    assert kept["parameters"] == {
        "window_days": 30.0, "timing_window_s": 60, "tau": 0.5, "exclude": ["money"], "history_limit": 500
    }  # fmt: skip
    assert (kept["insights"], kept["explained"]) == ([], [])
    assert kept["background"]["reason"]
    assert len(kept["missing"]) == 1
    assert results.clusters(1) == []
    assert results.wallets(1) == {}


@pytest.mark.usefixtures("first_version")
def test_the_fourth_step_works_out_what_holds_the_clusters_of_before() -> None:
    Runner(db.obj, str(database.MIGRATIONS)).up("0003_analysis")
    insert("result", id=1, analysis_id=1, version="1", dropped=False, provisional=False, wallets=5, computed_at=1.0,
           duration_s=1.0, summary="{}", rates="{}", parameters=json.dumps({"tau": 0.5}),
           background=json.dumps({"reason": None}), explained="[]", insights="[]", missing="[]")  # fmt: skip
    insert("result_cluster", result_id=1, number=1, cohesion=0.8, members="[0, 1, 2, 4]", weak_bridges="[4]",
           shared_mints="[]", edges=4)  # fmt: skip
    found = [(0, 1, 0.9, 0.001), (1, 2, 0.8, 0.001), (0, 2, 0.8, 0.001), (2, 4, 0.5, 0.001), (0, 4, 0.6, 0.5),
             (1, 4, 0.4, 0.001), (0, 3, 0.9, 0.001)]  # fmt: skip
    for number, (a, b, overall, q_value) in enumerate(sorted(found, key=lambda row: -row[2])):
        insert("pair", result_id=1, number=number, wallet_a=a, wallet_b=b, shared=3, overall=overall,
               q_value=q_value, insights=0)  # fmt: skip
    inside = [n for n, row in enumerate(sorted(found, key=lambda row: -row[2])) if row[1] != 3]
    packed = b"".join(number.to_bytes(4, "little") for number in inside)
    insert("pair_order", result_id=1, sort="cluster:1", chunk=0, numbers=packed)
    assert database.migrate() == ["0004_edges", "0005_operations", "0006_signing", "0007_names"]
    (cluster,) = results.clusters(1)
    assert cluster["strongest_edges"] == [[1, 0.9, 2], [0, 0.9, 2], [1, 0.8, 3], [2, 0.5, 1]]
    rows, _ = pairs.page(1, edges=True)
    assert [(row["wallet_a"], row["wallet_b"]) for row in rows] == [(0, 1), (1, 2), (0, 2), (2, 4)]


@pytest.mark.usefixtures("first_version")
def test_the_seventh_step_renames_tables_and_columns_and_keeps_their_rows() -> None:
    Runner(db.obj, str(database.MIGRATIONS)).up("0006_signing")
    job = {"queue": "pipeline", "tier": 3, "priority": 1, "done": 0, "attempts": 0, "lost_leases": 0}
    insert("job", id="j", kind="sync", subject="w1", state="running", enqueued_at=1.0, claim="c1", due_at=2.5, **job)
    insert("token", id=1, mint="m", is_active=True, status="pending", attempts=0, wallets_seen=0, first_seen_at=1.0,
           stage=1, priority=7, claim="c2", heard="{}")  # fmt: skip
    insert("heartbeat", process="p", role="web", version="1", started_at=1.0, beaten_at=3.5)
    insert("result_cluster", result_id=1, number=1, cohesion=0.5, members="[]", weak_bridges="[]", shared_mints="[]",
           edges=0, held_by="[[1, 0.9, 2]]")  # fmt: skip
    insert("tick", name="count", minute=5)
    insert("endpoint_traits", endpoint="e", traits='{"batch": true}', learnt_at=4.5)
    insert("signing", id=1, secret="s")
    assert database.migrate() == ["0007_names"]
    assert list(Job.select(Job.target, Job.claim_token, Job.run_after).tuples()) == [("w1", "c1", 2.5)]
    assert list(Token.select(Token.claim_token, Token.partial_answer).tuples()) == [("c2", "{}")]
    assert [row.last_seen_at for row in Heartbeat.select()] == [3.5]
    assert results.clusters(1)[0]["strongest_edges"] == [[1, 0.9, 2]]
    assert list(ScheduleTick.select().tuples()) == [("count", 5)]
    assert list(RpcCapabilities.select().tuples()) == [("e", '{"batch": true}', 4.5)]
    assert list(SigningKey.select().tuples()) == [(1, "s")]
    with pytest.raises(IntegrityError):  # the index of live jobs follows the renamed column
        insert("job", id="k", kind="sync", target="w1", state="queued", enqueued_at=1.0, **job)


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
    assert Token.select().count() == 200
