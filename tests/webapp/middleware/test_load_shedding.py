"""Load shedding: what is refused, with which answer, and that slots are freed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from peewee import InterfaceError, OperationalError
from playhouse.pool import MaxConnectionsExceeded
from werkzeug.test import Client, TestResponse

from tasks.settings import configure, current
from tests.support.site import address
from tests.support.waiting import HANG_S
from webapp.middleware import load_shedding, micro_cache


class Inner:
    """An application whose answers wait until they are let go; `/stream` is one whose length nobody knows."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stream":
            start_response("200 OK", [("Content-Type", "text/csv")])
            return self.parts()
        self.begun.release()
        assert self.free.wait(HANG_S)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    def parts(self) -> Iterator[bytes]:
        yield b"a"
        yield b"b"


@pytest.fixture
def inner() -> Inner:
    return Inner()


def ask_beside(gate: load_shedding.LoadShedder, count: int) -> tuple[list[threading.Thread], list[TestResponse]]:
    answers: list[TestResponse] = []
    threads = [threading.Thread(target=lambda: answers.append(Client(gate).get("/x"))) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, answers


def end(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(HANG_S)


def test_a_request_that_waits_too_long_gets_503_with_retry_after(inner: Inner) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=0.05)
    threads, answers = ask_beside(gate, 1)
    assert inner.begun.acquire(timeout=HANG_S)
    refused = Client(gate).get("/analyses/x")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Try again" in refused.text
    inner.free.set()
    end(threads)
    assert [answer.status_code for answer in answers] == [200]
    assert Client(gate).get("/x").status_code == 200


def test_a_waiting_request_runs_when_a_slot_is_free(inner: Inner) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=HANG_S)
    threads, answers = ask_beside(gate, 1 + load_shedding.WAITING)
    assert inner.begun.acquire(timeout=HANG_S)
    inner.free.set()
    end(threads)
    assert [answer.status_code for answer in answers] == [200] * (1 + load_shedding.WAITING)


def test_with_too_many_waiting_the_next_is_refused_at_once(inner: Inner) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=HANG_S)
    waiting = [gate._waiting.acquire(blocking=False) for _ in range(load_shedding.WAITING)]
    assert all(waiting)
    threads, _ = ask_beside(gate, 1)
    assert inner.begun.acquire(timeout=HANG_S)
    assert Client(gate).get("/x").status_code == 503
    inner.free.set()
    end(threads)


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/analyses/x.json", {}), ("/x", {"Accept": "application/json"}), ("/x", {"Content-Type": "application/json"})],
)
def test_programs_get_the_refusal_as_json(inner: Inner, path: str, headers: dict[str, str]) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=0.01)
    assert gate._slots.acquire(blocking=False)
    refused = Client(gate).get(path, headers=headers)
    assert refused.json == {"error": {"code": "busy", "message": load_shedding.FULL, "details": []}}


def test_probes_and_metrics_are_always_answered(inner: Inner) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=0.01)
    assert gate._slots.acquire(blocking=False)
    inner.free.set()
    assert [Client(gate).get(path).status_code for path in load_shedding.ALWAYS] == [200] * len(load_shedding.ALWAYS)


def test_a_slow_download_holds_no_slot_and_their_number_is_bounded(inner: Inner) -> None:
    gate = load_shedding.LoadShedder(inner, slots=1, wait_s=0.01)
    inner.free.set()
    slow = Client(gate).get("/stream", buffered=False)
    assert Client(gate).get("/x").status_code == 200
    assert Client(gate).get("/stream").status_code == 503
    assert slow.data == b"ab"
    slow.close()
    slow.close()
    assert [Client(gate).get("/stream", buffered=True).status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("around", [lambda inner: load_shedding.LoadShedder(inner, slots=1), micro_cache.MicroCache])
def test_what_an_application_writes_before_its_body_is_sent_first(around: Callable[[Any], Any]) -> None:
    def old(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "9")])
        write(b"first, ")
        return [b"ok"]

    answer = Client(around(old)).get("/x", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.data) == (200, b"first, ok")


def test_an_error_frees_its_slot() -> None:
    def broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise RuntimeError

    gate = load_shedding.LoadShedder(broken, slots=1, wait_s=0.01)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            Client(gate).get("/x")


def test_with_too_many_jobs_under_way_nothing_is_started(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"wallets": [{"address": address(number)} for number in (1, 2)]}
    first = client.post("/analyses", json=body, headers={"Idempotency-Key": "one"})
    assert first.status_code == 202
    configure(dataclasses.replace(current(), max_waiting_jobs=2))
    refused = client.post("/analyses", json=body, headers={"Idempotency-Key": "two"})
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "busy")
    assert int(refused.headers["Retry-After"]) > 0
    again = client.post("/analyses", json=body, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])


@pytest.mark.parametrize("fault", [OperationalError("gone"), InterfaceError("gone"), MaxConnectionsExceeded("many")])
def test_a_database_that_does_not_answer_is_503_with_a_time(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("webapp.pages.home.render_page", refuse)
    answer = client.get("/")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
