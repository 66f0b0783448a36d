"""The order in which messages come out, on the real queues: tier first, then the newest; and the schedule's ticks."""

from __future__ import annotations

import dataclasses
import pathlib
import threading

import pytest

from tasks import worker
from tasks.jobs import priority, queues
from tasks.settings import current
from tasks.storage.models.base import db
from tasks.storage.models.jobs import ScheduleTick
from tests.conftest import both_databases


@pytest.fixture(params=["sqlite", "redis"])
def huey(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> object:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    made = queues.make_queue("order", dataclasses.replace(current(), data_dir=tmp_path, redis_url=url))
    made.storage.flush_all()
    yield made
    if request.param == "redis":
        made.storage.pool.disconnect()
    else:
        made.storage.close()


def test_the_newest_of_the_highest_tier_comes_first(huey: object) -> None:
    @huey.task()
    def work(name: str) -> None: ...

    for name, tier in [("b1", 1), ("a1", 2), ("u1", 3), ("b2", 1), ("u2", 3), ("a2", 2), ("u3", 3)]:
        huey.enqueue(work.s(name, priority=priority.priority(tier)))
    order = [huey.dequeue().args[0] for _ in range(7)]
    assert order == ["u3", "u2", "u1", "a2", "a1", "b2", "b1"]


def test_periodic_work_does_not_wait_behind_a_thousand_requests(huey: object) -> None:
    @huey.task()
    def work(name: str) -> None: ...

    for number in range(1000):
        huey.enqueue(work.s(str(number), priority=priority.priority(priority.USER)))
    huey.enqueue(work.s("tick", priority=queues.TOP_PRIORITY))
    assert huey.dequeue().args[0] == "tick"


def test_a_thousand_priorities_asked_at_once_are_all_different() -> None:
    numbers: list[int] = []

    def ask() -> None:
        numbers.extend(priority.priority(2) for _ in range(250))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 1000
    assert all(float(number) == number for number in numbers), "both stores keep doubles"
    assert max(numbers) < 3 * priority.TIER_STEP


@both_databases
@pytest.mark.usefixtures("records")
def test_of_many_consumers_one_wins_each_tick() -> None:
    won: list[bool] = []
    barrier = threading.Barrier(6)

    def take() -> None:
        barrier.wait()
        won.append(worker.tick("recover", now=6_000_000.0))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert worker.tick("recover", now=6_000_060.0)


@pytest.mark.usefixtures("records")
def test_old_ticks_are_forgotten() -> None:
    worker.tick("recover", now=60.0)
    worker.tick("recover", now=60.0 * 200)
    assert ScheduleTick.select().count() == 1
    assert not db.is_closed()
