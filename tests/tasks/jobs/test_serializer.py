"""Messages of the queues: they come back as they were, and what is read from a queue can run nothing."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest
from huey.registry import Message

from tasks.jobs import queues
from tasks.jobs.serializer import JsonSerializer
from tasks.settings import read_settings

PLAIN = JsonSerializer()
AT = datetime.datetime(2026, 11, 24, 20, 0, 0, 250_000)


@pytest.mark.parametrize(
    "message",
    [
        Message(
            id="a", name="tasks.jobs.queues.work", retries=0, retry_delay=0, priority=3 * 10**13, args=("j",), kwargs={}
        ),
        Message(id="a", name="x", eta=AT, expires=60, expires_resolved=AT, args=(), kwargs={"a": 1}),
    ],
)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert PLAIN.deserialize(PLAIN.serialize(message)) == message


@pytest.mark.parametrize("value", [None, "1", 7, [1, 2], (None, True)])
def test_a_value_beside_them_too(value: Any) -> None:
    assert PLAIN.deserialize(PLAIN.serialize(value)) == (list(value) if isinstance(value, tuple) else value)


class Trap:
    """Runs when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"7", b"\x80\x04", b'{"message": 7}', b'{"message": {"x": 1}}'])
def test_foreign_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a queue message"):
        PLAIN.deserialize(data)


def test_nothing_that_is_read_is_run() -> None:
    trap = pickle.dumps(Trap())
    with pytest.raises(ValueError, match="not a queue message"):
        PLAIN.deserialize(trap)
    assert not Trap.sprung


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_foreign_message_in_a_queue_harms_no_other(
    kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    values = {"WALLETKIN_DATA_DIR": str(tmp_path)}
    if kind == "redis":
        values["WALLETKIN_REDIS_URL"] = request.getfixturevalue("redis_url")
    made = queues.make_queue("foreign", read_settings(values))
    made.storage.flush_all()
    monkeypatch.setitem(queues.QUEUES, "foreign", made)
    work = made.task(name="work_foreign")(lambda job_id: None)
    made.storage.enqueue(pickle.dumps(Trap()), 5)
    made.enqueue(work.s("job", priority=7))
    assert queues.waiting_ids("foreign") == {"job"}
    assert made.dequeue().args == ("job",)
    with pytest.raises(ValueError, match="not a queue message"):
        made.dequeue()
    assert made.dequeue() is None
    assert not Trap.sprung
