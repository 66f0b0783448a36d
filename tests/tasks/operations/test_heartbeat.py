"""What processes count and when they were last heard of: nothing twice, nothing lost, nothing of the dead for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tasks import errors, metrics
from tasks.errors import WalletkinError
from tasks.jobs import executor
from tasks.jobs.process import process_id
from tasks.operations import heartbeat, metric_store
from tasks.pipeline import sync
from tasks.simulator.server import Simulator
from tasks.sources import http
from tasks.storage import database
from tasks.storage.models.jobs import Job
from tasks.storage.models.operations import Counter, Heartbeat
from tests.conftest import both_databases
from tests.tasks.conftest import start, work

assert sync  # registers the handler of syncs


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    metrics.drain()
    yield
    metrics.drain()


def ended(number: int, at: float, *, kind: str = "sync", state: str = "succeeded", took_s: float | None = 2.0) -> None:
    """Record a job that ended at a moment."""
    Job.insert(
        id=f"job {number}", queue="pipeline", kind=kind, target=f"{number}", tier=3, priority=number, state=state,
        enqueued_at=at - 10, started_at=None if took_s is None else at - took_s, finished_at=at,
    ).execute()  # fmt: skip


def outcomes() -> dict[tuple[str, ...], float]:
    return metric_store.totals().get("jobs", {})


# Ended jobs


@pytest.mark.usefixtures("records")
def test_each_job_is_counted_once_when_it_has_ended() -> None:
    at = database.now_s() - 100
    ended(1, at)
    ended(2, at + 1, state="failed", took_s=400.0)
    ended(3, at + 2, kind="enrich", state="cancelled", took_s=None)
    assert metric_store.count_ended_jobs() == 3
    assert metric_store.count_ended_jobs() == 0
    ended(4, at + 3)
    assert metric_store.count_ended_jobs() == 1
    assert outcomes() == {("sync", "succeeded"): 2, ("sync", "failed"): 1, ("enrich", "cancelled"): 1}
    totals = metric_store.totals()
    assert totals["job_seconds_sum"] == {("sync",): pytest.approx(404.0)}
    assert totals["job_seconds"] == {("sync", "2.5"): 2, ("sync", "1800.0"): 1}


@pytest.mark.usefixtures("records")
def test_what_ended_just_now_is_left_for_later() -> None:
    """Its transaction may have been begun before another's that is committed already."""
    ended(1, database.now_s() - metric_store.SETTLED_S + 25)
    assert metric_store.count_ended_jobs() == 0
    Job.update(finished_at=Job.finished_at - 100).execute()
    assert metric_store.count_ended_jobs() == 1


@pytest.mark.usefixtures("records")
def test_many_are_counted_in_parts_and_those_of_one_moment_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_store, "JOBS_A_WRITE", 3)
    at = database.now_s() - 1000
    moments = [0, 1, 1, 1, 1, 1, 2, 3, 3, 4]
    for number, moment in enumerate(moments):
        ended(number, at + moment)
    assert metric_store.count_ended_jobs() == len(moments)
    assert outcomes() == {("sync", "succeeded"): len(moments)}


@both_databases
def test_concurrent_counting_counts_no_job_twice(database_url: str, records: None) -> None:
    at = database.now_s() - 1000
    for number in range(60):
        ended(number, at + number / 7)
    barrier, found = threading.Barrier(4), []

    def count() -> None:
        with database.session():
            barrier.wait()
            found.append(metric_store.count_ended_jobs())

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 60
    assert outcomes() == {("sync", "succeeded"): 60}


@both_databases
def test_processes_that_add_to_the_same_counters_at_once_lose_nothing(database_url: str, records: None) -> None:
    barrier, faults = threading.Barrier(4), []

    def add(turn: int) -> None:
        keys = [("requests", "GET", f"page {number}") for number in range(300)]
        try:
            with database.session():
                for _ in range(5):
                    barrier.wait()
                    metric_store.store(dict.fromkeys(keys[turn * 50 :] + keys[: turn * 50], 1.0))
        except Exception as fault:  # a thread's own would be lost
            faults.append(fault)
            barrier.abort()

    threads = [threading.Thread(target=add, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(metric_store.totals()["requests"].values()) == {20.0}
    assert Counter.select().count() == 300


# Calls to services


@pytest.mark.usefixtures("reading")
def test_calls_to_services_are_counted_by_their_outcome(chain: Simulator) -> None:
    start(chain.world.addresses[:2])
    work()
    asked = metrics.drain()
    assert set(asked) == {("source_calls", "solana", "answered")}
    assert asked["source_calls", "solana", "answered"] >= 4
    client = http.Http("market")
    chain.set_faults(latency_ms=0)
    with pytest.raises(http.HttpError):
        client.get(f"{chain.url}/nowhere")
    with pytest.raises(errors.SourceError):
        client.get("http://127.0.0.1:1/")
    client.close()
    assert metrics.drain() == {("source_calls", "market", "refused"): 1.0, ("source_calls", "market", "no answer"): 1.0}


@pytest.mark.parametrize(
    ("status", "word"), [(200, "answered"), (204, "answered"), (302, "refused"), (429, "429"), (503, "refused")]
)
def test_an_answer_is_counted_under_one_of_few_words(status: int, word: str) -> None:
    assert http._outcome(status) == word


# Heartbeats


@both_databases
@pytest.mark.usefixtures("records")
def test_a_process_sends_heartbeats_and_leaves() -> None:
    metrics.add("source_calls", "solana", "429")
    heartbeat.send("pipeline")
    (found,) = heartbeat.processes()
    assert (found.name, found.role, found.busy, found.is_alive) == (process_id(), "pipeline", 0, True)
    assert metric_store.totals() == {"source_calls": {("solana", "429"): 1.0}}
    assert metrics.drain() == {}
    Heartbeat.update(last_seen_at=Heartbeat.last_seen_at - 20, started_at=Heartbeat.started_at - 20).execute()
    heartbeat.send("pipeline")
    (again,) = heartbeat.processes()
    assert again.silent_s < 15 < again.up_s  # it beats on, and is as old as it was
    heartbeat.leave(process_id())
    assert heartbeat.processes() == []


@pytest.mark.usefixtures("records")
def test_long_silent_processes_are_deleted() -> None:
    for name, ago_s in (("now", 0), ("late", 300), ("gone", 3700), ("ahead", -3600)):
        heartbeat.beat(name, "web", "0.1.0", None)
        Heartbeat.update(last_seen_at=Heartbeat.last_seen_at - ago_s).where(Heartbeat.process == name).execute()
    heartbeat.prune()
    assert {one.name: one.is_alive for one in heartbeat.processes()} == {"now": True, "late": False}


@pytest.mark.usefixtures("records")
def test_killed_processes_of_this_machine_are_deleted_at_the_next_start() -> None:
    mine = process_id()
    host, pid, started = mine.rsplit("/", 2)
    others = [f"{host}/{pid}/{int(started) - 1}", f"elsewhere/{pid}/{int(started) - 1}"]
    for name in (mine, *others):
        heartbeat.beat(name, "web", "0.1.0", None)
    heartbeat.prune_dead()
    assert {one.name for one in heartbeat.processes()} == {mine, others[1]}


@pytest.mark.usefixtures("reading")
def test_a_worker_remembers_when_it_last_had_a_job_in_hand(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_last_active", None)
    heartbeat.send("pipeline")
    assert heartbeat.processes()[0].worked_s is None
    start(chain.world.addresses[:1])
    executor.run(Job.get().id)
    heartbeat.send("pipeline")
    worked_s = heartbeat.processes()[0].worked_s
    assert worked_s is not None
    assert worked_s < 60


@pytest.mark.usefixtures("records")
def test_a_failed_heartbeat_loses_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*values: object) -> None:
        raise WalletkinError("locked")

    metrics.add("a")
    monkeypatch.setattr(metric_store, "store", locked)
    heartbeat._quietly(lambda: heartbeat.send("web"))
    metrics.add("a")
    assert metrics.drain() == {("a",): 2.0}
